"""Instructions of the convolution 256 -> 256, 3x3, 14x14 of signs on Arm, beside int8 and fp32, from an emulator.

    python benchmarks/binary_counts.py [--targets raspberry-pi-4 raspberry-pi-5]

Needs qemu-aarch64. Each is a model of one node that `edgec build` compiles for the target; its report counts kernels.
The binary model takes floats and packs their signs; that, and changes of layout, are shown beside the convolution. A
count is no time: instructions differ in cost, and an emulator knows no caches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from binary_kernels import CHANNELS, SHAPE, WINDOW, model_of
from onnx import TensorProto, helper, numpy_helper

from edgec.graph.binary_form import BinaryUnit, write_units
from edgec.graph.shapes import infer_shapes

OUT = Path(__file__).parent / "results" / "binary-counts.json"
KINDS = ("binary", "int8", "fp32")


def binary_model() -> ir.Model:
    """The convolution in the form that `binarize` writes."""
    real = np.random.default_rng(0).standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="layer", **WINDOW)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph([node], "layer", values[:1], values[1:], [numpy_helper.from_array(real, "w")])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    infer_shapes(model)
    zeros, ones = np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32)
    write_units(model, [BinaryUnit("layer", real, 0, zeros, ones, zeros)])
    return model


def counts(kind: str, target: str) -> tuple[int, int]:
    """Instructions of the convolution's kernel, and of everything else, in one inference.

    Raises:
        RuntimeError: the build failed, or could not count; with its reason.
    """
    with tempfile.TemporaryDirectory(prefix="binary-counts-") as name:
        folder = Path(name)
        ir.save(binary_model() if kind == "binary" else model_of(kind), folder / "model.onnx")
        edgec = str(Path(sys.executable).with_name("edgec"))
        command = [edgec, "build", "model.onnx", "--target", target, "--quiet", "--out", "artefact"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-400:])
        report = json.loads((folder / "artefact" / "report.json").read_text())
    total = report["metrics"]["instructions"]
    if "unavailable" in total:
        raise RuntimeError(total["unavailable"])
    layers = [(layer["macs"], layer["counts"]["instructions"]) for layer in report["layers"]]
    kernel = sum(instructions for macs, instructions in layers if macs)
    return kernel, sum(instructions for _, instructions in layers) - kernel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["raspberry-pi-4", "raspberry-pi-5"])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, int]]] = {}
    print("| target | kernel | instructions | rest | over binary | with the rest |\n|---|---|---|---|---|---|")
    for target in options.targets:
        rows = {kind: counts(kind, target) for kind in KINDS}
        found[target] = {kind: {"kernel": kernel, "rest": rest} for kind, (kernel, rest) in rows.items()}
        first, others = rows["binary"]
        for kind, (kernel, rest) in rows.items():
            whole = (kernel + rest) / (first + others)
            print(f"| {target} | {kind} | {kernel:,} | {rest:,} | {kernel / first:.2f} | {whole:.2f} |", flush=True)
        options.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
