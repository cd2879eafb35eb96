"""Single layers in eight-bit integers against fp32, for the rule that leaves layers in float where integers are slower.

    python benchmarks/quantization_layers.py build FOLDER --target raspberry-pi-5
    python benchmarks/quantization_layers.py measure FOLDER --target raspberry-pi-5

The second command writes the part of passes/quantize_cost.toml about cores like that of the target: instructions,
counted in an emulator (needs qemu-aarch64), or for `host` nanoseconds on one thread, the shortest of many, which want a
quiet machine. A layer stands between two others, so that it reads and writes integers as in a network; one of few
channels is the first and reads real numbers. All kernels between those two others count, so that what a layer needs
beside its products (an order of channels, a padding, a rounding of its input) counts as well.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import machine
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
from edgec.core.tensor import Sample
from edgec.graph.shapes import infer_shapes
from edgec.measure.emulated_counts import count_inference
from edgec.measure.running import run_artifact
from edgec.passes.quantize_cost import (
    COSTS,
    FEW_CHANNELS,
    CoreCosts,
    Costs,
    LayerCost,
    LayerSize,
    architecture_of,
    measured_costs,
)
from edgec.passes.quantize_layers import find_layers

STEPS, INTERFACE = "steps.json", "interface.json"
BEFORE, MEASURED, LAST = "before", "measured", "last"
PROCESSES, REPEATS, ITERATIONS = 3, 40, 10
SOURCE_CHANNELS = 8
SIZES = ("inputs", "outputs", "taps", "places", "stride", "real", "integers")
CORE_FIELDS = ("architecture", "dot_product", "quantity", "target")


@dataclass(frozen=True)
class Shape:
    """A layer: channels in and out, groups, window, extent of its input, stride; extent 0 makes it a matrix product."""

    inputs: int
    outputs: int
    groups: int
    window: int
    extent: int
    stride: int = 1

    def __str__(self) -> str:
        if not self.extent:
            return f"product {self.inputs} x {self.outputs}"
        kind = "depthwise" if self.groups == self.inputs else "grouped" if self.groups > 1 else "convolution"
        moved = "" if self.stride == 1 else f" by steps of {self.stride}"
        return (
            f"{kind} {self.window}x{self.window}, {self.inputs} to {self.outputs} channels, "
            f"{self.extent}x{self.extent}{moved}"
        )

    @property
    def folder(self) -> str:
        """A name for its files."""
        return str(self).replace(",", "").replace(" ", "-")


SHAPES = (
    Shape(3, 8, 1, 3, 48, 2),
    Shape(3, 32, 1, 3, 112, 2),
    Shape(3, 32, 1, 3, 224, 2),
    Shape(8, 8, 1, 1, 28),
    Shape(8, 32, 1, 1, 28),
    Shape(16, 64, 1, 1, 28),
    Shape(64, 16, 1, 1, 28),
    Shape(64, 64, 1, 1, 28),
    Shape(256, 64, 1, 1, 14),
    Shape(32, 200, 1, 1, 14),
    Shape(200, 32, 1, 1, 14),
    Shape(512, 512, 1, 1, 7),
    Shape(8, 8, 1, 3, 28),
    Shape(16, 64, 1, 3, 28),
    Shape(64, 64, 1, 3, 28),
    Shape(128, 128, 1, 3, 14),
    Shape(64, 64, 4, 3, 28),
    Shape(8, 8, 8, 3, 48),
    Shape(16, 16, 16, 3, 112),
    Shape(32, 32, 32, 3, 112),
    Shape(64, 64, 64, 3, 56),
    Shape(64, 64, 64, 3, 28),
    Shape(96, 96, 96, 3, 112, 2),
    Shape(96, 96, 96, 3, 28),
    Shape(96, 96, 96, 3, 28, 2),
    Shape(144, 144, 144, 3, 56),
    Shape(144, 144, 144, 3, 28),
    Shape(240, 240, 240, 3, 28, 2),
    Shape(256, 256, 256, 3, 14),
    Shape(32, 32, 32, 5, 24),
    Shape(96, 96, 96, 5, 28),
    Shape(88, 88, 88, 5, 14),
    Shape(144, 144, 144, 5, 56, 2),
    Shape(200, 200, 200, 5, 14),
    Shape(240, 240, 240, 5, 28),
    Shape(256, 256, 256, 5, 14),
    Shape(480, 480, 480, 5, 14),
    Shape(1152, 1152, 1152, 5, 7),
    Shape(8, 32, 1, 1, 0),
    Shape(88, 22, 1, 1, 0),
    Shape(256, 100, 1, 1, 0),
    Shape(1024, 512, 1, 1, 0),
)


def weights(name: str, *extents: int) -> TensorProto:
    """Random weights of such a size that sums stay about as large as inputs."""
    spread = np.prod(extents[1:]) ** -0.5
    values = np.random.default_rng(len(name)).standard_normal(extents) * spread
    return numpy_helper.from_array(values.astype(np.float32), name)


def network(shape: Shape) -> ir.Model:
    """A layer and ReLU (not before a first layer), the layer `measured` and ReLU, and a layer that gives one number."""
    first = bool(shape.extent) and shape.inputs <= FEW_CHANNELS
    given = shape.inputs if first else SOURCE_CHANNELS
    tensors = [weights("bias", shape.outputs)]
    if shape.extent:
        extents, end = [1, given, shape.extent, shape.extent], -(-shape.extent // shape.stride)
        options = {"pads": [shape.window // 2] * 4, "group": shape.groups, "strides": [shape.stride] * 2}
        square = [shape.window] * 2
        tensors += [weights("w", shape.outputs, shape.inputs // shape.groups, *square)]
        tensors += [weights("before.w", shape.inputs, given, 1, 1), weights("last.w", 1, shape.outputs, 1, 1)]
        operator, before, last, answer = "Conv", {}, {"strides": [end] * 2}, [1, 1, 1, 1]
    else:
        extents, answer = [1, given], [1, 1]
        tensors += [weights("w", shape.outputs, shape.inputs)]
        tensors += [weights("before.w", shape.inputs, given), weights("last.w", 1, shape.outputs)]
        operator, options, before, last = "Gemm", {"transB": 1}, {"transB": 1}, {"transB": 1}
    nodes = [
        helper.make_node(operator, ["x", "before.w"], ["a"], name=BEFORE, **before),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node(operator, ["x" if first else "b", "w", "bias"], ["c"], name=MEASURED, **options),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node(operator, ["d", "last.w"], ["y"], name=LAST, **last),
    ]
    graph = helper.make_graph(
        nodes[2:] if first else nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, extents)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, answer)],
        [tensor for tensor in tensors if not (first and tensor.name == "before.w")],
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
    """Write the artefacts of both variants, unless they exist, with the numbers of the kernels that count."""
    for variant, model in variants(shape, target).items():
        if (folder / variant / INTERFACE).exists():
            continue
        plan = TvmBackend().plan(model, target, name="layer", threads=1, progress=Silent())
        execute(plan, folder / variant, Silent())
        names = [layer.name for layer in plan.layers]
        steps = range(names.index(BEFORE) + 1 if BEFORE in names else 0, names.index(LAST))
        (folder / variant / STEPS).write_text(json.dumps(list(steps)), encoding="utf-8")
        (folder / variant / INTERFACE).write_text(plan.interface.model_dump_json(), encoding="utf-8")


def cost(folder: Path, target: Target) -> int:
    """Instructions, or nanoseconds on this machine, of the layer `measured` of an artefact."""
    interface = Interface.model_validate_json((folder / INTERFACE).read_text(encoding="utf-8"))
    steps = json.loads((folder / STEPS).read_text(encoding="utf-8"))
    given = interface.inputs[0]
    sample = {given.name: np.random.default_rng(2).standard_normal(given.shape).astype(np.float32)}
    if target.compiler.triple == "native":
        return nanoseconds(folder, interface, sample, steps)
    counts = count_inference(folder, interface, sample, target.core)
    if isinstance(counts, Unavailable):
        raise SystemExit(counts.unavailable)
    return sum(counts.steps[step].instructions for step in steps)


def nanoseconds(folder: Path, interface: Interface, sample: Sample, steps: list[int]) -> int:
    """Of some kernels on this machine: of each the shortest mean of a few runs, since other work only adds to it."""
    runs = [
        run_artifact(folder, interface, [sample] * REPEATS, warmup=3, iterations=ITERATIONS, trace=True)
        for _ in range(PROCESSES)
    ]
    times = np.concatenate([np.array(run.step_ns) for run in runs])
    return max(1, round(float(times.min(axis=0)[steps].sum())))


def measured(folder: Path, target: Target) -> CoreCosts:
    """All layers, printed one by one."""
    layers = []
    for shape in SHAPES:
        found, _ = find_layers(network(shape), ())
        layer = next(layer for layer in found if layer.name == MEASURED)
        real, integers = (cost(folder / shape.folder / variant, target) for variant in ("real", "integers"))
        layers.append(
            LayerCost(
                layer=str(shape),
                real=real,
                integers=integers,
                **LayerSize.of(layer).model_dump(),
            )
        )
        print(f"{shape}: {real} {integers} {integers / real:.2f}", flush=True)
    here = target.compiler.triple == "native"
    return CoreCosts(
        architecture=architecture_of(target),
        dot_product=target.core.dot_product,
        quantity="nanoseconds" if here else "instructions",
        target=machine.observe().processor if here else target.name,
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
            size = ", ".join(f"{field} = {getattr(one, field)}" for field in SIZES)
            lines.append(f'    {{ layer = "{one.layer}", kind = "{one.kind}", {size} }},')
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
        for shape in SHAPES:
            build(shape, target, folder / shape.folder)
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
