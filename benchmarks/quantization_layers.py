"""Instructions of single layers in eight-bit integers over those in fp32, counted in an emulator on any machine.

Usage: python benchmarks/quantization_layers.py [--target raspberry-pi-4]
(needs qemu-aarch64)

Each layer stands between two others, so that its input comes in integers and its output leaves in integers, as inside a
network. From these ratios follows `edgec/passes/quantize_cost.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.executor import execute
from edgec.backends.tvm.backend import TvmBackend
from edgec.core.metric import Unavailable
from edgec.core.passes import PassContext
from edgec.core.progress import Silent
from edgec.core.recipe import make_pass
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.graph.shapes import infer_shapes
from edgec.measure.emulated_counts import count_inference


@dataclass(frozen=True)
class Shape:
    """A layer: channels in and out, groups, window, extent of its input; an extent of 0 makes it a matrix product."""

    inputs: int
    outputs: int
    groups: int
    window: int
    extent: int

    def __str__(self) -> str:
        if not self.extent:
            return f"product {self.inputs} x {self.outputs}"
        kind = "depthwise" if self.groups == self.inputs else "grouped" if self.groups > 1 else "convolution"
        return (
            f"{kind} {self.window}x{self.window}, {self.inputs} to {self.outputs} channels, {self.extent}x{self.extent}"
        )


SHAPES = (
    Shape(3, 32, 1, 3, 56),
    Shape(8, 8, 1, 1, 28),
    Shape(16, 64, 1, 1, 28),
    Shape(64, 64, 1, 1, 28),
    Shape(256, 64, 1, 1, 14),
    Shape(16, 64, 1, 3, 28),
    Shape(64, 64, 1, 3, 28),
    Shape(128, 128, 1, 3, 14),
    Shape(64, 64, 4, 3, 28),
    Shape(96, 96, 96, 3, 28),
    Shape(96, 96, 96, 5, 28),
    Shape(256, 100, 1, 1, 0),
    Shape(1024, 512, 1, 1, 0),
)


def network(shape: Shape) -> ir.Model:
    """Sigmoid, the layer `measured`, ReLU, and a layer that makes few numbers of many."""
    random = np.random.default_rng(0)

    def weights(name: str, *extents: int) -> TensorProto:
        spread = np.prod(extents[1:]) ** -0.5
        return numpy_helper.from_array((random.standard_normal(extents) * spread).astype(np.float32), name)

    if shape.extent:
        given = [1, shape.inputs, shape.extent, shape.extent]
        pads, place = [shape.window // 2] * 4, [1, 1]
        measured = helper.make_node("Conv", ["a", "w", "b"], ["c"], name="measured", pads=pads, group=shape.groups)
        last = helper.make_node("Conv", ["d", "v"], ["y"], name="last", strides=[shape.extent] * 2)
        tensors = [weights("w", shape.outputs, shape.inputs // shape.groups, shape.window, shape.window)]
        tensors.append(weights("v", 1, shape.outputs, 1, 1))
    else:
        given, place = [1, shape.inputs], []
        measured = helper.make_node("Gemm", ["a", "w", "b"], ["c"], name="measured", transB=1)
        last = helper.make_node("Gemm", ["d", "v"], ["y"], name="last", transB=1)
        tensors = [weights("w", shape.outputs, shape.inputs), weights("v", 1, shape.outputs)]
    nodes = [helper.make_node("Sigmoid", ["x"], ["a"]), measured, helper.make_node("Relu", ["c"], ["d"]), last]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, *place])],
        [*tensors, weights("b", shape.outputs)],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    infer_shapes(model)
    return model


def quantized(model: ir.Model, target: Target) -> ir.Model:
    """All layers in integers, whatever that costs."""
    given = model.graph.inputs[0]
    shape = tuple(int(extent) for extent in given.shape.numpy())
    samples = [{"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}]
    options = {"speed": "ignored", "max_loss": 1.0, "min_snr_db": -100.0, "sensitivity_samples": 0}
    return make_pass("quantize", options).run(model, PassContext(target, samples)).model


def instructions(model: ir.Model, target: Target, folder: Path) -> int:
    """Of the layer `measured`."""
    plan = TvmBackend().plan(model, target, name="layer", threads=1, progress=Silent())
    execute(plan, folder, Silent())
    given = plan.interface.inputs[0]
    sample = {given.name: np.random.default_rng(2).standard_normal(given.shape).astype(np.float32)}
    counts = count_inference(folder, plan.interface, sample, target.core)
    if isinstance(counts, Unavailable):
        raise SystemExit(counts.unavailable)
    return sum(
        counts.steps[number].instructions for number, layer in enumerate(plan.layers) if layer.name == "measured"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="raspberry-pi-4")
    target = load_target(parser.parse_args().target)
    print(f"| layer ({target.name}) | fp32, thousand | int8 | ratio |\n|---|--:|--:|--:|")
    for shape in SHAPES:
        model = network(shape)
        with tempfile.TemporaryDirectory() as scratch:
            real = instructions(model, target, Path(scratch) / "real")
            small = instructions(quantized(model.clone(), target), target, Path(scratch) / "small")
        print(f"| {shape} | {real / 1e3:.0f} | {small / 1e3:.0f} | {small / real:.2f} |", flush=True)


if __name__ == "__main__":
    main()
