"""Accuracy of quantised networks on the 10,000 test images of Fashion-MNIST, against the same networks in float.

The networks are those of `examples/fashion_mnist/train.py`, three seeds each. Every cell (network, seed, scheme) is
one run of a pass; finished cells are kept in benchmarks/results/quantization-accuracy.json, an interrupted training
goes on from the cache of edgec. Needs the extra `qat`.

    python benchmarks/quantization_accuracy.py FOLDER            # FOLDER: resnet-seed0.onnx, …, data.npz
    python benchmarks/quantization_accuracy.py --render          # the table: docs/reference/accuracy.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgec.core.data import ArrayData
from edgec.core.passes import Pass, PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.core.tensor import TensorSpec
from edgec.graph.cost import model_size
from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession
from edgec.pass_list import pass_list
from edgec.passes.quantize import Quantize, QuantizeOptions, Speed
from edgec.passes.train_quantized import TrainQuantized, TrainQuantizedOptions
from edgec.training.options import Loss

RESULTS = Path(__file__).parent / "results" / "quantization-accuracy.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "accuracy.md"
NETWORKS = ("resnet", "mobilenet")
SEEDS = (0, 1, 2)
INPUT = TensorSpec(name="x", dtype="float32", shape=(1, 1, 28, 28))


def training(weights: int, activations: int, edges: int, epochs: int, rate: float, *, po2: bool = False) -> Pass:
    return TrainQuantized(
        TrainQuantizedOptions(
            weight_bits=weights,
            activation_bits=activations,
            edge_bits=edges,
            epochs=epochs,
            learning_rate=rate,
            power_of_two=po2,
            loss=Loss.BOTH,
            flip=True,
            shift=1,
        )
    )


@dataclass(frozen=True)
class Scheme:
    """One column of the table.

    Attributes:
        title: as shown.
        allowed: points of accuracy that may be lost; None where nothing is promised.
        step: the pass; None for float.
    """

    title: str
    allowed: float | None
    step: Pass | None


SCHEMES = {
    "float": Scheme("float", None, None),
    "w8a8-ptq": Scheme("W8A8, after training", 0.3, Quantize(QuantizeOptions(speed=Speed.IGNORED))),
    "w4a4-qat": Scheme("W4A4, trained", 1.0, training(4, 4, 0, 3, 0.02)),
    "w2a4-qat": Scheme("W2A4, first and last layer W8A8, trained", 2.5, training(2, 4, 8, 4, 0.05)),
    "w8a8-qat": Scheme("W8A8, trained", 0.3, training(8, 8, 8, 1, 0.005)),
    "w4a4-po2-qat": Scheme(
        "W4A4, first and last layer W8A8, powers of two, trained", None, training(4, 4, 8, 3, 0.005, po2=True)
    ),
}


class Said(Silent):
    """Progress for a log: notes only."""

    def note(self, text: str) -> None:
        """Print it with the time of day."""
        print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass(frozen=True)
class Cell:
    """One result: percent of the test images, seconds of the pass, what the pass said."""

    accuracy: float
    seconds: float
    stats: dict[str, int | float | str]
    options: dict[str, object]


def run(model: ir.Model, scheme: Scheme, data: ArrayData, seed: int) -> Cell:
    context = PassContext(
        target=load_target("host"), calibration=list(data.calibration()), data=data, seed=seed, progress=Said()
    )
    started = time.monotonic()
    stats: dict[str, int | float | str] = {}
    if scheme.step is not None:
        result = scheme.step.run(model, context)
        model, stats = result.model, {k: v for k, v in result.stats.items() if not k.startswith("signal to noise with")}
    seconds = time.monotonic() - started
    options = {} if scheme.step is None else scheme.step.options.model_dump(mode="json")
    return Cell(accuracy(model, data), round(seconds, 1), stats, options)


def accuracy(model: ir.Model, data: ArrayData) -> float:
    session = ReferenceSession(model)
    found = [
        int(next(iter(session.run(sample.inputs).values())).argmax()) == int(np.asarray(sample.label))
        for sample in data.evaluation()
    ]
    return 100 * sum(found) / len(found)


def measure(folder: Path, networks: Sequence[str]) -> bool:
    """Run every cell that is missing and whose network is there, scheme by scheme; whether all cells are done."""
    data = ArrayData(folder / "data.npz", (INPUT,))
    missing = False
    for name, network, seed in product(SCHEMES, networks, SEEDS):
        path = folder / f"{network}-seed{seed}.onnx"
        if f"{network} {seed} {name}" in _results():
            continue
        if not path.exists():
            print(f"{path} is missing: python examples/fashion_mnist/train.py --network {network} --seed {seed}")
            missing = True
            continue
        print(f"{network} seed {seed} {name}", flush=True)
        model = (
            Pipeline(pass_list("exact", {}, ()), OpenGate(), model_size)
            .run(load_model(path).model, PassContext())
            .model
        )
        cell = run(model, SCHEMES[name], data, seed)
        print(f"  {cell.accuracy:.2f} % after {cell.seconds:.0f} s", flush=True)
        hidden = RESULTS.with_suffix(f".{network}")
        # Read again: the other network may be measured by another process.
        results = _results() | {f"{network} {seed} {name}": asdict(cell)}
        hidden.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        hidden.replace(RESULTS)
    return not missing


def _results() -> dict[str, dict[str, object]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def page() -> str:
    results = _results()
    lines = [
        "# Accuracy of quantised networks",
        "",
        "Percent of the 10,000 test images of Fashion-MNIST that are classified right: mean and range over the seeds",
        "of the training of the float network. The loss is in points against the float network of the same seed, mean",
        "and worst. Written by `benchmarks/quantization_accuracy.py`, the networks by `examples/fashion_mnist`.",
        "",
    ]
    for network in NETWORKS:
        lines += [f"## {network}", "", "| scheme | seeds | accuracy | range | mean loss | worst loss | aim | outputs "]
        lines[-1] += "that differ from the trained network |"
        lines.append("|---|---|---|---|---|---|---|---|")
        for name, scheme in SCHEMES.items():
            seeds = [
                seed for seed in SEEDS if {f"{network} {seed} {name}", f"{network} {seed} float"} <= results.keys()
            ]
            if seeds:
                lines.append(_row(network, name, scheme, seeds, results))
        lines.append("")
    return "\n".join(lines)


def _row(network: str, name: str, scheme: Scheme, seeds: list[int], results: dict[str, dict[str, object]]) -> str:
    cells = [results[f"{network} {seed} {name}"] for seed in seeds]
    found = [float(str(cell["accuracy"])) for cell in cells]
    losses = [
        float(str(results[f"{network} {seed} float"]["accuracy"])) - value
        for seed, value in zip(seeds, found, strict=True)
    ]
    key = "samples that differ from the trained network"
    differing = {str(cell["stats"][key]) for cell in cells if isinstance(cell["stats"], dict) and key in cell["stats"]}
    aim = "–" if scheme.allowed is None else f"≤ {scheme.allowed:g}"
    lost = ("–", "–") if scheme.step is None else (f"{statistics.mean(losses):.2f}", f"{max(losses):.2f}")
    return (
        f"| {scheme.title} | {len(seeds)} | {statistics.mean(found):.2f} | {min(found):.2f} – {max(found):.2f} "
        f"| {lost[0]} | {lost[1]} | {aim} | {', '.join(sorted(differing)) or '–'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="networks and data.npz")
    parser.add_argument("--render", action="store_true", help="write the page from the results")
    parser.add_argument("--network", choices=NETWORKS, help="one network only")
    options = parser.parse_args()
    networks = NETWORKS if options.network is None else (options.network,)
    if options.folder is not None and not measure(options.folder, networks):
        raise SystemExit(1)
    if options.render:
        PAGE.write_text(page())


if __name__ == "__main__":
    main()
