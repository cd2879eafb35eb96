"""Half of the multiply-accumulates, then further training: accuracy and latency, against Torch-Pruning.

Usage: python benchmarks/pruning_fine_tuned.py FOLDER prune|tune|compile|time|show [--epochs 3] [--network resnet]
(needs the extra `qat`, and `pip install torch-pruning` for the comparison). FOLDER holds what
examples/fashion_mnist/train.py writes: NETWORK-seedN.onnx and data.npz. Both start from the same network, both results
are trained further by the pass `fine-tune` with the same options, and are compiled and timed alike.

edgec: `prune-channels` with `target_macs = 0.5` for this machine. Torch-Pruning: L2 magnitude, the same share
everywhere, found by bisection; as it comes, and rounded to 8 channels.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from pruning_cells import Results, accuracy, artefact_ms, at_latency, compile_here, images, prepared, runtime_ms

from edgec.core.data import load_data
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.core.tensor import TensorSpec
from edgec.graph.cost import model_size

NETWORKS = ("resnet", "mobilenet")
SEEDS = (0, 1, 2)
VARIANTS = ("edgec", "torch-pruning", "torch-pruning by 8")
MACS = 0.5
TUNING = {"batch": 128, "learning_rate": 0.05, "flip": True, "shift": 2}
_SAMPLES = 32


def pruned(path: Path, variant: str, data: Path) -> ir.Model:
    """The network with half of its multiply-accumulates, before training."""
    if variant == "edgec":
        calibration = images(data, "calibration").pixels
        samples = [{"x": calibration[n : n + 1]} for n in range(_SAMPLES)]
        context = PassContext(target=load_target("host"), calibration=samples)
        return make_pass("prune-channels", {"target_macs": MACS}).run(prepared(path), context).model
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


def prune_all(folder: Path, work: Path, networks: list[str]) -> None:
    for network in networks:
        for seed in SEEDS:
            path = folder / f"{network}-seed{seed}.onnx"
            if not path.exists():
                print(f"{path} is missing: train it first")
                continue
            ir.save(prepared(path), work / f"{network}-{seed}-whole.onnx")
            for variant in VARIANTS:
                place = work / f"{network}-{seed}-{variant}.onnx"
                if not place.exists():
                    ir.save(pruned(path, variant, folder / "data.npz"), place)


def tune_all(folder: Path, work: Path, networks: list[str], results: Results, epochs: int) -> None:
    """Train every pruned network further; the accuracy of all, on all test images."""
    test = images(folder / "data.npz", "evaluation")
    data = load_data(str(folder / "data.npz"), (TensorSpec(name="x", shape=(1, 1, 28, 28), dtype="float32"),))
    for variant in ("whole", *VARIANTS):
        for seed in SEEDS:
            for network in networks:
                name = f"{network}-{seed}-{variant}"
                path = work / f"{name}.onnx"
                if not path.exists() or not results.lacks(name, "accuracy"):
                    continue
                model = ir.load(path)
                figures: dict[str, float | int] = {"accuracy before": accuracy(model, test)}
                if variant != "whole":
                    step = make_pass("fine-tune", TUNING | {"epochs": epochs})
                    model = step.run(model, PassContext(target=load_target("host"), data=data, seed=seed)).model
                    figures["epochs"] = epochs
                ir.save(model, work / f"{name}.tuned.onnx")
                size = model_size(model)
                results.put(name, accuracy=accuracy(model, test), macs=size.macs, **figures)
                print(name, results.cells[name], flush=True)


def compile_all(work: Path) -> None:
    for path in sorted(work.glob("*.tuned.onnx")):
        compile_here(ir.load(path), work / path.name.removesuffix(".tuned.onnx"))


def time_all(work: Path, results: Results) -> None:
    """Latency of every artefact, and in ONNX Runtime, twice in turn; the smaller counts."""
    for _ in range(2):
        for folder in sorted(path.parent for path in work.glob("*/interface.json")):
            figures = {"ms": artefact_ms(folder, 0.5), "ms in ONNX Runtime": runtime_ms(folder, 0.4)}
            known = results.cells.get(folder.name, {})
            results.put(
                folder.name, **{key: min(value, float(known.get(key, value))) for key, value in figures.items()}
            )


def tables(results: Results, networks: Sequence[str] = NETWORKS) -> str:
    """Markdown: what is left and lost, relative to the network as it was, and accuracy at equal latency."""
    lines = [
        "| network | pruned by | MACs | accuracy before training | after, each seed | drop | latency | ONNX Runtime |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
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
    return (
        f"{mean('macs'):.0%} | {before:.1%} | {after} | {100 * drop:+.2f} | {mean('ms'):.2f} | "
        f"{mean('ms in ONNX Runtime'):.2f}"
    )


def _at_equal_latency(results: Results, networks: Sequence[str]) -> list[str]:
    """How much better edgec is than Torch-Pruning at edgec's latency, between its results and the original."""
    lines = []
    for network in networks:
        gains = []
        for seed in SEEDS:
            cells = {v: results.cells.get(f"{network}-{seed}-{v}", {}) for v in ("whole", *VARIANTS)}
            done = {v: cell for v, cell in cells.items() if {"ms", "accuracy"} <= cell.keys()}
            if "edgec" in done and len(done) > 2:
                points = [(float(c["ms"]), float(c["accuracy"])) for v, c in done.items() if v != "edgec"]
                ours = done["edgec"]
                gains.append(100 * (float(ours["accuracy"]) - at_latency(points, float(ours["ms"]))))
        if gains:
            listed = ", ".join(f"{gain:+.2f}" for gain in gains)
            lines.append(
                f"{network}: at edgec's latency, edgec is {statistics.mean(gains):+.2f} points ({listed}) ahead."
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=("prune", "tune", "compile", "time", "show"))
    parser.add_argument("--network", action="append", choices=("resnet", "mobilenet", "densenet"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pruning-fine-tuned.json"))
    parser.add_argument("--work", type=Path, default=Path("out/pruning-fine-tuned"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    networks, results = options.network or list(NETWORKS), Results(options.out)
    if options.stage == "prune":
        prune_all(options.folder, options.work, networks)
    elif options.stage == "tune":
        tune_all(options.folder, options.work, networks, results, options.epochs)
    elif options.stage == "compile":
        compile_all(options.work)
    elif options.stage == "time":
        time_all(options.work, results)
    else:
        print(tables(results, networks))


if __name__ == "__main__":
    main()
