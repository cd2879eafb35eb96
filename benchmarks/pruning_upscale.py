"""UPSCALE's experiment: post-training pruning, every layer its own channels against the same for all that read them.

Usage: python benchmarks/pruning_upscale.py FOLDER prune|compile|time|show [--out FILE.json] [--work FOLDER]
FOLDER holds what examples/fashion_mnist/train.py writes: NETWORK-seedN.onnx and data.npz. `prune` makes all networks
and their accuracy; `compile` makes the artefacts of seed 0; `time` measures them, on a quiet machine; `show` prints.
Criterion L2, the same share everywhere, nothing rounded, as in the paper; once without and once with making up for
what is removed from 32 samples. Latency depends on the widths, hardly on the seed: that of seed 0 counts for all.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from pruning_cells import (
    Images,
    Points,
    Results,
    accuracy,
    artefact_ms,
    best_within,
    compile_here,
    images,
    mean_lead,
    prepared,
    runtime_ms,
)

from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample

NETWORKS = ("densenet", "resnet", "mobilenet")
SEEDS = (0, 1, 2)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
VARIANTS = ("constrained", "gather", "slice", "view")
COARSE_SHARES = (0.1, 0.3, 0.5)
"""Those of `gather` and `slice`, which are there to be compared with `view`."""
MADE_UP = ("constrained", "view")
BUDGETS = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Of the latency of the network as it was."""
PAPER = {"densenet": "+16.9", "resnet": "+6.2", "mobilenet": "-"}
_SAMPLES = 32
_EVALUATED = 5000
"""Of the 10,000 test images; all networks are compared on the same ones."""
_KEPT_STATS = (
    "multiply-accumulates left",
    "bytes copied by gathers",
    "bytes copied in the order of UPSCALE",
    "bytes copied in the best order",
    "bytes copied where ranges are read in place",
    "share of what matters that ranges hold",
)


def prune(path: Path, variant: str, share: float, samples: list[Sample]) -> tuple[ir.Model, dict[str, float]]:
    """The network with a share of the channels gone, and what the pass says of it."""
    options = {"ratio": share, "round_to": 1, "allocation": "uniform", "criterion": "l2", "reconstruct": bool(samples)}
    if variant != "constrained":
        options |= {"mode": "unconstrained", "pick": variant}
    context = PassContext(target=load_target("host"), calibration=samples)
    result = make_pass("prune-channels", options).run(prepared(path), context)
    return result.model, {name: float(result.stats[name]) for name in _KEPT_STATS if name in result.stats}


def shares_of(variant: str) -> tuple[float, ...]:
    """The shares that are removed in a variant."""
    return COARSE_SHARES if variant in ("gather", "slice") else SHARES


def prune_all(folder: Path, work: Path, results: Results) -> None:
    """Every accuracy, and the networks of seed 0."""
    data, calibration = images(folder / "data.npz", "evaluation"), images(folder / "data.npz", "calibration")
    data = Images(data.pixels[:_EVALUATED], data.labels[:_EVALUATED])
    for seed in SEEDS:
        for network in NETWORKS:
            path = folder / f"{network}-seed{seed}.onnx"
            if not path.exists():
                print(f"{path} is missing: train it first")
                continue
            whole = f"{network} {seed} whole"
            if results.lacks(whole, "accuracy"):
                results.put(whole, accuracy=accuracy(prepared(path), data))
            if seed == SEEDS[0]:
                ir.save(prepared(path), work / f"{network}-whole.onnx")
            for variant in VARIANTS:
                for share in shares_of(variant):
                    _prune_cell(path, (network, seed, variant, share), work, results, (data, calibration))


def _prune_cell(
    path: Path, key: tuple[str, int, str, float], work: Path, results: Results, data: tuple[Images, Images]
) -> None:
    network, seed, variant, share = key
    name = f"{network} {seed} {variant} {share}"
    evaluation, calibration = data
    if results.lacks(name, "accuracy"):
        model, stats = prune(path, variant, share, [])
        results.put(name, accuracy=accuracy(model, evaluation), **stats)
    place = work / f"{network}-{variant}-{share}.onnx"
    if seed == SEEDS[0] and not place.exists():
        ir.save(prune(path, variant, share, [])[0], place)
    if variant in MADE_UP and results.lacks(name, "accuracy made up"):
        samples = [{"x": calibration.pixels[n : n + 1]} for n in range(_SAMPLES)]
        model, _ = prune(path, variant, share, samples)
        results.put(name, **{"accuracy made up": accuracy(model, evaluation)})


def compile_all(work: Path) -> None:
    """The artefacts of all networks of seed 0 that are timed."""
    for path in sorted(work.glob("*.onnx")):
        compile_here(ir.load(path), work / path.stem)


def time_all(work: Path, results: Results) -> None:
    """Latency of every artefact and of the same network in ONNX Runtime, once; the smallest of all calls counts.

    Those that have not been timed come first, so that a quiet minute at a time is enough.
    """
    artefacts = {_name(path.parent.name): path.parent for path in work.glob("*/interface.json")}
    for name in sorted(artefacts, key=lambda name: (not results.lacks(name, "ms"), name)):
        figures = {"ms": artefact_ms(artefacts[name], 0.4), "ms in ONNX Runtime": runtime_ms(artefacts[name], 0.3)}
        known = results.cells.get(name, {})
        results.put(name, **{key: min(value, float(known.get(key, value))) for key, value in figures.items()})


def _name(folder: str) -> str:
    """The cell of an artefact."""
    network, _, rest = folder.partition("-")
    variant, _, share = rest.partition("-")
    return f"{network} {SEEDS[0]} {variant} {share}".strip()


def tables(results: Results) -> str:
    """Markdown: accuracy at equal latency, and what the exports cost."""
    lines = []
    head = " | ".join(f"{share:.0%}" for share in BUDGETS)
    for field, title in (("accuracy", "as removed"), ("accuracy made up", f"made up for from {_SAMPLES} samples")):
        lines += [
            f"Points that unconstrained is better, {title}, within a budget of the latency of the network as it was; "
            "mean (each seed).",
            "",
            f"| network | {head} | mean of all budgets | the paper's, on ImageNet |",
            "|---|" + "--:|" * (len(BUDGETS) + 2),
        ]
        for network in NETWORKS:
            curves = [found for seed in SEEDS if (found := _curves(results, network, seed, field))]
            if curves:
                lines.append(f"| {network} | {_leads(curves)} | {PAPER[network]} |")
        lines.append("")
    lines += [
        "| network | export | share | accuracy | made up for | edgec, ms | ONNX Runtime, ms | KB copied | of gather |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for network in NETWORKS:
        for variant in VARIANTS:
            lines += [row for share in shares_of(variant) if (row := _export(results, network, variant, share))]
    return "\n".join(lines)


def _curves(results: Results, network: str, seed: int, field: str) -> tuple[Points, Points] | None:
    """Latency and accuracy of the unconstrained networks and of the constrained ones, the one as it was in both."""
    cells = results.cells
    whole = {**cells.get(f"{network} {SEEDS[0]} whole", {}), **cells.get(f"{network} {seed} whole", {})}
    if not {"ms", "accuracy"} <= whole.keys():
        return None

    def points(variant: str) -> list[tuple[float, float]]:
        found = []
        for share in shares_of(variant):
            timed, own = (cells.get(f"{network} {number} {variant} {share}", {}) for number in (SEEDS[0], seed))
            if "ms" in timed and field in own:
                found.append((float(timed["ms"]), float(own[field])))
        return found

    start = (float(whole["ms"]), float(whole["accuracy"]))
    free, tied = [point for variant in VARIANTS[1:] for point in points(variant)], points("constrained")
    return ([start, *free], [start, *tied]) if free and tied else None


def _leads(curves: Sequence[tuple[Points, Points]]) -> str:
    """Cells of a row: for each budget and for all of them, how far the first curve of each seed is above the second."""
    columns = []
    for share in BUDGETS:
        leads = []
        for free, tied in curves:
            best = [best_within(points, share * free[0][0]) for points in (free, tied)]
            leads.append(None if best[0] is None or best[1] is None else best[0] - best[1])
        columns.append(_mean_and_each(leads))
    return " | ".join([*columns, _mean_and_each([mean_lead(free, tied) for free, tied in curves])])


def _mean_and_each(leads: Sequence[float | None]) -> str:
    """In points; `not comparable` where a network of one kind is not that fast."""
    points = [100 * lead for lead in leads if lead is not None]
    if len(points) < len(leads):
        return "not comparable"
    return f"{statistics.mean(points):+.1f} ({', '.join(f'{point:+.1f}' for point in points)})"


def _export(results: Results, network: str, variant: str, share: float) -> str:
    """A row of the table; empty if the cell has not been measured."""
    cell = results.cells.get(f"{network} {SEEDS[0]} {variant} {share}", {})
    if not {"accuracy", "ms"} <= cell.keys():
        return ""
    seeds = [results.cells.get(f"{network} {seed} {variant} {share}", {}) for seed in SEEDS]
    means = [
        f"{statistics.mean(had):.1%}" if (had := [float(c[field]) for c in seeds if field in c]) else "-"
        for field in ("accuracy", "accuracy made up")
    ]
    copied = float(cell.get("bytes copied where ranges are read in place", 0))
    gathered = float(cell.get("bytes copied by gathers", 0))
    ratio = f"{copied / gathered:.0%}" if gathered else "-"
    return (
        f"| {network} | {variant} | {share:.0%} | {means[0]} | {means[1]} | {float(cell['ms']):.4f} | "
        f"{float(cell['ms in ONNX Runtime']):.3f} | {copied / 1000:.1f} | {ratio} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=("prune", "compile", "time", "show"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pruning-upscale.json"))
    parser.add_argument("--work", type=Path, default=Path("out/pruning-upscale"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = Results(options.out)
    if options.stage == "prune":
        prune_all(options.folder, options.work, results)
    elif options.stage == "compile":
        compile_all(options.work)
    elif options.stage == "time":
        time_all(options.work, results)
    else:
        print(tables(results))


if __name__ == "__main__":
    main()
