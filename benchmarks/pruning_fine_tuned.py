"""Half of the multiply-accumulates, then further training: accuracy and latency, against Torch-Pruning.

Usage: python benchmarks/pruning_fine_tuned.py FOLDER prune|tune|compile|time|show [--network resnet] [--variant NAME]
(needs the extra `qat`, and `pip install torch-pruning` for the comparison). FOLDER holds what
examples/fashion_mnist/train.py writes: NETWORK-seedN.onnx and data.npz. Both start from the same network, both results
are trained further by the pass `fine-tune` with the same options, from labels, and are compiled and timed alike.
`edgec distilled` learns from the network before pruning, too, with a smaller rate and fewer epochs.

edgec: `prune-channels` with `target_macs = 0.5` for this machine and 64 samples; in three steps where it is distilled,
else by L2 in one. Torch-Pruning: L2 magnitude, the same share everywhere, found by bisection; as it comes, and rounded
to 8 channels.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from pruning_cells import (
    Points,
    Results,
    accuracy,
    artefact_ms,
    best_within,
    compile_here,
    images,
    prepared,
    runtime_ms,
)

from edgec.core.data import load_data
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.core.tensor import TensorSpec
from edgec.graph.cost import model_size

NETWORKS = ("resnet", "mobilenet", "densenet")
SEEDS = (0, 1, 2)
DISTILLED = "edgec distilled"
BY_WEIGHTS = "edgec by weights"
VARIANTS = (BY_WEIGHTS, DISTILLED, "torch-pruning", "torch-pruning by 8")
MACS = 0.5
TUNING = {"batch": 128, "learning_rate": 0.05, "flip": True, "shift": 2, "loss": "labels", "epochs": 3}
DISTILLATION = {**TUNING, "learning_rate": 0.02, "loss": "both", "epochs": 2}
_SAMPLES = 64


def pruned(path: Path, variant: str, data: Path) -> ir.Model:
    """The network with half of its multiply-accumulates, before training."""
    if variant.startswith("edgec"):
        calibration = images(data, "calibration").pixels
        samples = [{"x": calibration[n : n + 1]} for n in range(_SAMPLES)]
        context = PassContext(target=load_target("host"), calibration=samples)
        options = {"steps": 3} if variant == DISTILLED else {"criterion": "l2"}
        return make_pass("prune-channels", {"target_macs": MACS, **options}).run(prepared(path), context).model
    return by_torch_pruning(path, round_to=8 if variant.endswith("8") else None)


def by_torch_pruning(path: Path, round_to: int | None) -> ir.Model:
    """The same by Torch-Pruning, for the smallest share that reaches the goal."""
    low, high = 0.0, 1.0
    whole = model_size(prepared(path)).macs
    best: ir.Model | None = None
    for _ in range(7):
        share = (low + high) / 2
        found = _torch_pruned(path, share, round_to)
        if model_size(found).macs <= MACS * whole:
            high, best = share, found
        else:
            low = share
    if best is None:
        raise SystemExit(f"Torch-Pruning does not reach {MACS:.0%} of {path.name}")
    return best


def _torch_pruned(path: Path, share: float, round_to: int | None) -> ir.Model:
    import torch
    import torch_pruning

    from edgec.training.importer import import_network

    module = import_network(prepared(path)).module.eval()
    example = torch.zeros(1, 1, 28, 28)
    last = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)][-1]
    importance = torch_pruning.importance.MagnitudeImportance(p=2)
    torch_pruning.pruner.MagnitudePruner(
        module, example, importance, pruning_ratio=share, round_to=round_to, ignored_layers=[last]
    ).step()
    exported = torch.onnx.export(module, (example,), input_names=["x"], output_names=["logits"], dynamo=True)
    file = path.parent / f".{path.stem}.pruned.onnx"
    exported.save(file)
    model = prepared(file)
    file.unlink()
    return model


def prune_all(folder: Path, work: Path, networks: list[str], variants: list[str]) -> None:
    for network in networks:
        for seed in SEEDS:
            path = folder / f"{network}-seed{seed}.onnx"
            if not path.exists():
                print(f"{path} is missing: train it first")
                continue
            ir.save(prepared(path), work / f"{network}-{seed}-whole.onnx")
            for variant in variants:
                place = work / f"{network}-{seed}-{variant}.onnx"
                if not place.exists():
                    ir.save(pruned(path, variant, folder / "data.npz"), place)


def tune_all(folder: Path, work: Path, networks: list[str], variants: list[str], results: Results) -> None:
    """Train every pruned network further; the accuracy of all, on all test images."""
    test = images(folder / "data.npz", "evaluation")
    data = load_data(str(folder / "data.npz"), (TensorSpec(name="x", shape=(1, 1, 28, 28), dtype="float32"),))
    for seed in SEEDS:
        for network in networks:
            for variant in ("whole", *variants):
                name = f"{network}-{seed}-{variant}"
                path = work / f"{name}.onnx"
                if not path.exists() or not results.lacks(name, "accuracy"):
                    continue
                model = ir.load(path)
                figures: dict[str, float | int] = {"accuracy before": accuracy(model, test)}
                if variant != "whole":
                    options = DISTILLATION if variant == DISTILLED else TUNING
                    whole = ir.load(work / f"{network}-{seed}-whole.onnx")
                    context = PassContext(target=load_target("host"), data=data, seed=seed, original=whole)
                    model = make_pass("fine-tune", options).run(model, context).model
                    figures["epochs"] = int(options["epochs"])
                ir.save(model, work / f"{name}.tuned.onnx")
                size = model_size(model)
                results.put(name, accuracy=accuracy(model, test), macs=size.macs, **figures)
                print(name, results.cells[name], flush=True)


def compile_all(work: Path) -> None:
    for path in sorted(work.glob("*.tuned.onnx")):
        compile_here(ir.load(path), work / path.name.removesuffix(".tuned.onnx"))


def time_all(work: Path, results: Results) -> None:
    """Latency of every artefact, and in ONNX Runtime, once; the smallest of all calls counts."""
    for folder in sorted(path.parent for path in work.glob("*/interface.json")):
        figures = {"ms": artefact_ms(folder, 0.5), "ms in ONNX Runtime": runtime_ms(folder, 0.4)}
        known = results.cells.get(folder.name, {})
        results.put(folder.name, **{key: min(value, float(known.get(key, value))) for key, value in figures.items()})


def tables(results: Results, networks: Sequence[str] = NETWORKS) -> str:
    """Markdown: what is left and lost, relative to the network as it was, and accuracy at equal latency."""
    lines = [
        "| network | pruned by | MACs | accuracy before training | epochs | after, each seed | drop | latency "
        "| ONNX Runtime |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for network in networks:
        for variant in VARIANTS:
            pairs = [
                (results.cells[f"{network}-{seed}-whole"], results.cells[f"{network}-{seed}-{variant}"])
                for seed in SEEDS
                if {"accuracy", "ms"} <= results.cells.get(f"{network}-{seed}-{variant}", {}).keys()
            ]
            if pairs:
                lines.append(f"| {network} | {variant} | " + _row([_as_floats(pair) for pair in pairs]) + " |")
    return "\n".join([*lines, "", *_at_equal_latency(results, networks)])


def _as_floats(pair: tuple[dict[str, float | int | str], dict[str, float | int | str]]) -> list[dict[str, float]]:
    return [{key: float(value) for key, value in cell.items()} for cell in pair]


def _row(pairs: list[list[dict[str, float]]]) -> str:
    def mean(figure: str) -> float:
        return statistics.mean(cut[figure] / whole[figure] for whole, cut in pairs)

    drop = statistics.mean(whole["accuracy"] - cut["accuracy"] for whole, cut in pairs)
    before = statistics.mean(cut["accuracy before"] for _, cut in pairs)
    after = ", ".join(f"{cut['accuracy']:.2%}" for _, cut in pairs)
    epochs = pairs[0][1]["epochs"]
    return (
        f"{mean('macs'):.0%} | {before:.1%} | {epochs:.0f} | {after} | {100 * drop:+.2f} | {mean('ms'):.2f} | "
        f"{mean('ms in ONNX Runtime'):.2f}"
    )


def _at_equal_latency(results: Results, networks: Sequence[str]) -> list[str]:
    """How much better edgec, trained alike, is than the best result of Torch-Pruning that is no slower."""
    lines = []
    for network in networks:
        leads: list[float] = []
        for seed in SEEDS:
            cells = {v: results.cells.get(f"{network}-{seed}-{v}", {}) for v in VARIANTS if v != DISTILLED}
            done = {v: cell for v, cell in cells.items() if {"ms", "accuracy"} <= cell.keys()}
            points = [(float(c["ms"]), float(c["accuracy"])) for v, c in done.items() if v != BY_WEIGHTS]
            if BY_WEIGHTS in done and points:
                leads += _lead(float(done[BY_WEIGHTS]["ms"]), float(done[BY_WEIGHTS]["accuracy"]), points)
        if leads:
            listed = ", ".join(f"{lead:+.2f}" for lead in leads)
            lines.append(
                f"{network}: within its latency, edgec is {statistics.mean(leads):+.2f} points ({listed}) ahead."
            )
    return lines


def _lead(latency: float, accurate: float, others: Points) -> list[float]:
    """Points of lead over the best of others within a latency; where all are slower, over the fastest of them."""
    best = best_within(others, latency)
    return [100 * (accurate - (min(others)[1] if best is None else best))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=("prune", "tune", "compile", "time", "show"))
    parser.add_argument("--network", action="append", choices=("resnet", "mobilenet", "densenet"))
    parser.add_argument("--variant", action="append", choices=VARIANTS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pruning-fine-tuned.json"))
    parser.add_argument("--work", type=Path, default=Path("out/pruning-fine-tuned"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    networks, variants = options.network or list(NETWORKS), options.variant or list(VARIANTS)
    results = Results(options.out)
    if options.stage == "prune":
        prune_all(options.folder, options.work, networks, variants)
    elif options.stage == "tune":
        tune_all(options.folder, options.work, networks, variants, results)
    elif options.stage == "compile":
        compile_all(options.work)
    elif options.stage == "time":
        time_all(options.work, results)
    else:
        print(tables(results, networks))


if __name__ == "__main__":
    main()
