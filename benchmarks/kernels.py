"""Our kernels against ONNX Runtime's, layer by layer, in one process, one thread each, in turns.

    python benchmarks/kernels.py [WORD …]

runs the layers whose names contain one of the words, all without words. ONNX Runtime's time is that of the layer's node
in its own profile, so that neither side pays for changes of layout at the borders of the model. Both columns of times
are medians in microseconds, and so is their ratio; `best` is the ratio of the minima. `peak` is the rate of fused
multiply-adds that this core reached on registers alone, during the same run.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tvm.code_generation import primitive_function
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup, fuse
from edgec.backends.tvm.implementation import NO_CHOICES, Choices
from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.model_lowering import lower_graph
from edgec.backends.tvm.schedules.rules import schedule

Attribute = int | list[int]
Session = Any
"""An ONNX Runtime session; it ships no types."""

ROUNDS = 15
RUNS_PER_ROUND = 3
_FLUSH = "cache_flush_cpu_non_first_arg"
"""TVM's name of what empties the caches of all operands but the first."""


@dataclass(frozen=True)
class Layer:
    """One node: operator, input shape, shapes of further operands (None for none), attributes."""

    name: str
    op: str
    x: tuple[int, ...]
    operand: tuple[int, ...] | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)
    constant: bool = True


def convolution(name: str, channels: int, size: int, outputs: int, kernel: int, **attributes: Attribute) -> Layer:
    """A square convolution, padded to keep its size at stride 1."""
    inner = channels // int(str(attributes.get("group", 1)))
    pads = [kernel // 2] * 4
    return Layer(
        name, "Conv", (1, channels, size, size), (outputs, inner, kernel, kernel), {"pads": pads, **attributes}
    )


LAYERS = [
    convolution("first 3x3 s2 3->32 @224", 3, 224, 32, 3, strides=[2, 2]),
    convolution("first 7x7 s2 3->64 @224", 3, 224, 64, 7, strides=[2, 2]),
    convolution("3x3 64->64 @56", 64, 56, 64, 3),
    convolution("3x3 128->128 @28", 128, 28, 128, 3),
    convolution("3x3 256->256 @14", 256, 14, 256, 3),
    convolution("3x3 512->512 @7", 512, 7, 512, 3),
    convolution("3x3 s2 64->128 @56", 64, 56, 128, 3, strides=[2, 2]),
    convolution("1x1 32->16 @112", 32, 112, 16, 1),
    convolution("1x1 16->96 @112", 16, 112, 96, 1),
    convolution("1x1 144->24 @56", 144, 56, 24, 1),
    convolution("1x1 240->40 @28", 240, 28, 40, 1),
    convolution("1x1 480->80 @14", 480, 14, 80, 1),
    convolution("1x1 672->112 @14", 672, 14, 112, 1),
    convolution("1x1 192->1152 @7", 192, 7, 1152, 1),
    convolution("1x1 1152->320 @7", 1152, 7, 320, 1),
    convolution("1x1 320->1280 @7", 320, 7, 1280, 1),
    convolution("1x1 512->1000 @13", 512, 13, 1000, 1),
    convolution("depthwise 3x3 32 @112", 32, 112, 32, 3, group=32),
    convolution("depthwise 3x3 s2 96 @112", 96, 112, 96, 3, group=96, strides=[2, 2]),
    convolution("depthwise 3x3 144 @56", 144, 56, 144, 3, group=144),
    convolution("depthwise 5x5 240 @28", 240, 28, 240, 5, group=240),
    convolution("depthwise 5x5 672 @14", 672, 14, 672, 5, group=672),
    convolution("depthwise 5x5 s2 672 @14", 672, 14, 672, 5, group=672, strides=[2, 2]),
    convolution("depthwise 3x3 1152 @7", 1152, 7, 1152, 3, group=1152),
    convolution("grouped 3x3 128->128 g32 @28", 128, 28, 128, 3, group=32),
    Layer("conv1d k64 s4 1->128 @4096", "Conv", (1, 1, 4096), (128, 1, 64), {"strides": [4]}),
    Layer("upconvolution 2x2 s2 64->32 @56", "ConvTranspose", (1, 64, 56, 56), (64, 32, 2, 2), {"strides": [2, 2]}),
    Layer("upconvolution 4x4 s2 64->32 @28", "ConvTranspose", (1, 64, 28, 28), (64, 32, 4, 4),
          {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Layer("fully connected 1x1280->1000", "Gemm", (1, 1280), (1000, 1280), {"transB": 1}),
    Layer("fully connected 1x512->512", "Gemm", (1, 512), (512, 512), {"transB": 1}),
    Layer("product 197x192 by 192x576", "MatMul", (1, 197, 192), (192, 576)),
    Layer("product 196x768 by 768x768", "MatMul", (1, 196, 768), (768, 768)),
    Layer("attention scores 12x197x64x197", "MatMul", (12, 197, 64), (12, 64, 197), constant=False),
    Layer("attention values 12x197x197x64", "MatMul", (12, 197, 197), (12, 197, 64), constant=False),
    Layer("max pool 3x3 s2 64 @112", "MaxPool", (1, 64, 112, 112), None,
          {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Layer("softmax 12x197x197", "Softmax", (12, 197, 197)),
    Layer("softmax 12x256x256", "Softmax", (12, 256, 256)),
    Layer("layer normalization 197x768", "LayerNormalization", (1, 197, 768), (768,)),
    Layer("transpose 224x224x3", "Transpose", (1, 3, 224, 224), None, {"perm": [0, 2, 3, 1]}),
    Layer("transpose 56x56x128", "Transpose", (1, 128, 3136), None, {"perm": [0, 2, 1]}),
    Layer("sigmoid 56x56x64", "Sigmoid", (1, 64, 56, 56)),
]  # fmt: skip


def model_of(layer: Layer) -> onnx.ModelProto:
    """The layer as a model with the input `x` and, for a computed operand, `w`."""
    generator = np.random.default_rng(1)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, layer.x)]
    initializers = []
    names = ["x"]
    if layer.operand is not None:
        names.append("w")
        if layer.constant:
            contents = generator.standard_normal(layer.operand).astype(np.float32)
            initializers.append(numpy_helper.from_array(contents, "w"))
        else:
            inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, layer.operand))
    node = helper.make_node(layer.op, names, ["y"], name="layer", **layer.attributes)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "layer", inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def feeds_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    return {
        value.name: generator.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in model.graph.input
    }


def host_core() -> CoreDescription:
    flags = Path("/proc/cpuinfo").read_text()
    if "avx512f" in flags:
        return CoreDescription(16, 32, "none", 32 * 1024, 1024 * 1024)
    return CoreDescription(8, 16, "none", 32 * 1024, 512 * 1024)


class OurLayer:
    """The kernels of a layer, without those that only move elements to another layout at the model's borders.

    Args:
        model: of the layer.
        op: its operator.
        choices: what to take instead of the cost model's choice.
        cold: whether all but its input is out of the caches when a run begins, as weights are in a large network.
    """

    def __init__(self, model: onnx.ModelProto, op: str, choices: Choices = NO_CHOICES, *, cold: bool = False) -> None:
        import onnx_ir as ir
        import tvm

        core = host_core()
        block = fuse(lower_graph(ir.from_proto(model), core, "model", choices).main)
        groups = [step for step in block.steps if isinstance(step, KernelGroup)]
        own = [group for group in groups if group.operations[0].node == "layer"] or groups
        self.choices = [group.anchor.choice for group in own if group.anchor.choice is not None]
        self.macs = sum(operation.macs for group in own for operation in group.operations)
        self.anchored = any(operation.pattern == Pattern.ANCHOR for group in own for operation in group.operations)
        functions = {}
        for index, group in enumerate(own):
            scheduled = schedule(primitive_function(group), group, core, 1)
            if scheduled.fallback_reason:
                print(f"  fallback: {scheduled.fallback_reason}")
            functions[f"kernel_{index}"] = scheduled.function.with_attr("global_symbol", f"kernel_{index}")
        target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
        self.module = tvm.compile(tvm.IRModule(functions), target=target)
        generator = np.random.default_rng(3)
        self.calls = []
        for index, group in enumerate(own):
            arrays = [
                value.data if value.data is not None else generator.standard_normal(value.shape).astype(value.dtype)
                for value in (*group.inputs, *group.outputs)
            ]
            tensors = [tvm.runtime.tensor(array) for array in arrays]
            before = _FLUSH if cold else ""
            timed = self.module.mod.time_evaluator(
                f"kernel_{index}", tvm.cpu(), number=1, repeat=RUNS_PER_ROUND, f_preproc=before
            )
            self.calls.append((timed, tensors))

    def seconds(self) -> list[float]:
        """Of each of a few runs in a row."""
        runs = [timed(*tensors).results for timed, tensors in self.calls]
        return [float(sum(times)) for times in zip(*runs, strict=True)]


def reference_session(model: onnx.ModelProto, folder: str) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder) / "profile")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def node_times(profile: str, op: str) -> list[float]:
    """Seconds of the layer's node, run by run; changes of layout are nodes of their own and left out."""
    events = json.loads(Path(profile).read_text())
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    own = [event for event in kernels if "Reorder" not in event["args"]["op_name"]]
    runs = ROUNDS * RUNS_PER_ROUND
    per_run = len(own) // runs
    durations = [event["dur"] * 1e-6 for event in own]
    return [sum(durations[run * per_run : (run + 1) * per_run]) for run in range(runs)]


def peak_of_core() -> Callable[[], float]:
    """A probe of the rate of multiply-adds on registers, in operations a second."""
    import tvm
    from tvm import s_tir, te

    core = host_core()
    rows, columns, depth = 12, 2 * core.float_lanes, 1024
    a, b = te.placeholder((rows,), name="a"), te.placeholder((columns,), name="b")
    k = te.reduce_axis((0, depth), "k")
    c = te.compute((rows, columns), lambda i, j: te.sum(a[i] * b[j], axis=k), name="c")
    program = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([a, b, c])}))
    block = program.get_sblock("c")
    program.cache_write(block, 0, "local")
    i, j, k_loop = program.get_loops(block)
    outer, lane = program.split(j, [None, core.float_lanes])
    program.reorder(k_loop, i, outer, lane)
    program.vectorize(lane)
    program.unroll(outer)
    program.unroll(i)
    program.decompose_reduction(block, k_loop)
    target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
    module = tvm.compile(program.mod, target=target)
    tensors = [tvm.runtime.tensor(np.ones(shape, np.float32)) for shape in ((rows,), (columns,), (rows, columns))]
    timed = module.mod.time_evaluator("main", tvm.cpu(), number=50, repeat=3)
    return lambda: 2 * rows * columns * depth / min(timed(*tensors).results)


def compare(layer: Layer, probe: Callable[[], float]) -> str:
    model = model_of(layer)
    ours = OurLayer(model, layer.op)
    feeds = feeds_of(model)
    own_times: list[float] = []
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        session = reference_session(model, folder)
        for _ in range(ROUNDS):
            for _ in range(RUNS_PER_ROUND):
                session.run(None, feeds)
            own_times += ours.seconds()
            peak = max(peak, probe())
        reference = node_times(session.end_profiling(), layer.op)
    own, other = statistics.median(own_times), statistics.median(reference)
    rate = 2 * ours.macs / min(own_times)
    text = f"{layer.name:34s} {own * 1e6:9.1f} {other * 1e6:9.1f} {own / other:6.2f}"
    text += f" {min(own_times) / max(min(reference), 1e-6):6.2f}"
    return text + (f" {rate / 1e9:8.1f} {100 * rate / peak:5.0f} %" if ours.anchored else "")


def main() -> None:
    words = sys.argv[1:]
    probe = peak_of_core()
    print(f"{'layer':34s} {'ours us':>9s} {'ORT us':>9s} {'ratio':>6s} {'best':>6s} {'GFLOP/s':>8s} {'peak':>7s}")
    for layer in LAYERS:
        if not words or any(word in layer.name for word in words):
            print(compare(layer, probe), flush=True)


if __name__ == "__main__":
    main()
