"""Single layers in eight-bit integers against fp32, for the rule that leaves layers in float where integers are slower.

    python benchmarks/quantization_layers.py build FOLDER --target raspberry-pi-5
    python benchmarks/quantization_layers.py measure FOLDER --target raspberry-pi-5

The second command writes the part of passes/quantize_cost.toml about cores like that of the target: instructions,
counted in an emulator (needs qemu-aarch64), or for `host` nanoseconds on one thread, which want a quiet machine. Each
layer stands between two others, so that its input comes in integers and its output leaves in integers, as in a network.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.executor import execute
from edgec.backends.tvm.backend import TvmBackend
from edgec.core.interface import Interface
from edgec.core.metric import Unavailable
from edgec.core.passes import PassContext
from edgec.core.progress import Silent
from edgec.core.recipe import make_pass
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.graph.shapes import infer_shapes
from edgec.measure.emulated_counts import count_inference
from edgec.measure.host_timing import time_on_host
from edgec.passes.quantize_cost import (
    COSTS,
    CoreCosts,
    Costs,
    LayerCost,
    LayerKind,
    architecture_of,
    channels_of,
    measured_costs,
)
from edgec.passes.quantize_layers import find_layers

PLACES, INTERFACE = "places.json", "interface.json"
SECONDS = 0.2
CORE_FIELDS = ("architecture", "dot_product", "quantity", "target")


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
    Shape(480, 480, 480, 5, 14),
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


def variants(shape: Shape, target: Target) -> dict[str, ir.Model]:
    """The network of a layer in fp32 and in integers."""
    model = network(shape)
    return {"real": model, "integers": quantized(model.clone(), target)}


def build(shape: Shape, target: Target, folder: Path) -> None:
    """Write the artefacts of both variants, with the place of the layer `measured` among their kernels."""
    for variant, model in variants(shape, target).items():
        plan = TvmBackend().plan(model, target, name="layer", threads=1, progress=Silent())
        execute(plan, folder / variant, Silent())
        places = [number for number, layer in enumerate(plan.layers) if layer.name == "measured"]
        (folder / variant / PLACES).write_text(json.dumps(places), encoding="utf-8")
        (folder / variant / INTERFACE).write_text(plan.interface.model_dump_json(), encoding="utf-8")


def cost(folder: Path, target: Target) -> int:
    """Instructions, or nanoseconds on this machine, of the layer `measured` of an artefact."""
    interface = Interface.model_validate_json((folder / INTERFACE).read_text(encoding="utf-8"))
    places = json.loads((folder / PLACES).read_text(encoding="utf-8"))
    given = interface.inputs[0]
    sample = {given.name: np.random.default_rng(2).standard_normal(given.shape).astype(np.float32)}
    if target.compiler.triple == "native":
        steps = time_on_host(folder, interface, sample, seconds=SECONDS).steps_ms
        return max(1, round(1e6 * sum(steps[place].value for place in places)))
    counts = count_inference(folder, interface, sample, target.core)
    if isinstance(counts, Unavailable):
        raise SystemExit(counts.unavailable)
    return sum(counts.steps[place].instructions for place in places)


def measured(folder: Path, target: Target) -> CoreCosts:
    """All layers, printed one by one."""
    layers = []
    for number, shape in enumerate(SHAPES):
        found, _ = find_layers(network(shape), ())
        layer = next(layer for layer in found if layer.name == "measured")
        inputs, outputs = channels_of(layer)
        real, integers = (cost(folder / str(number) / variant, target) for variant in ("real", "integers"))
        layers.append(
            LayerCost(
                kind=LayerKind.of(layer),
                inputs=inputs,
                outputs=outputs,
                layer=str(shape),
                real=real,
                integers=integers,
            )
        )
        print(f"{shape}: {real} {integers} {integers / real:.2f}", flush=True)
    return CoreCosts(
        architecture=architecture_of(target),
        dot_product=target.core.dot_product,
        quantity="nanoseconds" if target.compiler.triple == "native" else "instructions",
        target=target.name,
        layers=tuple(layers),
    )


def write(costs: Costs) -> None:
    """The file that the pass reads."""
    lines = ["# Layers in fp32 and in eight-bit integers. Written by benchmarks/quantization_layers.py."]
    for core in costs.cores:
        lines += ["", "[[cores]]"]
        lines += [f'{field} = "{getattr(core, field)}"' for field in CORE_FIELDS]
        lines += ["layers = ["]
        for one in core.layers:
            fields = f'kind = "{one.kind}", inputs = {one.inputs}, outputs = {one.outputs}, layer = "{one.layer}"'
            lines.append(f"    {{ {fields}, real = {one.real}, integers = {one.integers} }},")
        lines += ["]"]
    COSTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("build", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="host")
    options = parser.parse_args()
    target, folder = load_target(options.target), options.folder / options.target
    if options.stage == "build":
        for number, shape in enumerate(SHAPES):
            build(shape, target, folder / str(number))
        return
    new = measured(folder, target)
    others = [
        core
        for core in measured_costs().cores
        if (core.architecture, core.dot_product) != (new.architecture, new.dot_product)
    ]
    write(Costs(cores=(*others, new)))


if __name__ == "__main__":
    main()
