"""Quantized graphs as a whole: what becomes integer nodes, what stays float and why, and whole networks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from integer_cores import runnable_cores
from kernel_evaluator import Kernels, reference
from quantized_reference import Array, Scheme

from edgec.backends.executor import execute
from edgec.backends.tvm.backend import TvmBackend
from edgec.backends.tvm.integer.recognition import IntegerForm, form_integer_nodes
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.measure.running import run_artifact
from tests.models import mobile_net, quantized_net, residual_net
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")

SCHEME = Scheme(0.0437, 128, "uint8")
OTHER = Scheme(0.0311, 77, "uint8")


def quantized(g: GraphBuilder, x: str, scheme: Scheme = SCHEME) -> str:
    parameters = g.constant(scheme.scale), g.constant(scheme.zero_point, scheme.dtype)
    return g.node("DequantizeLinear", g.node("QuantizeLinear", x, *parameters), *parameters)


def form(model: onnx.ModelProto) -> tuple[IntegerForm, Counter[str]]:
    made = form_integer_nodes(ir.from_proto(onnx.shape_inference.infer_shapes(model)))
    return made, Counter(node.op_type for node in made.model.graph)


def steps_apart(actual: Array, expected: Array, scale: float) -> Array:
    return np.rint(np.abs(actual - expected) / scale)


def network(op: str, *, output: Scheme = SCHEME, quantize_output: bool = True, **attributes: object) -> GraphBuilder:
    """image (1, 8, 9, 9) → quantized → op → quantized → y."""
    g = GraphBuilder("one", 17)
    x = quantized(g, g.input("image", (1, 8, 9, 9)))
    operands = {
        "Add": (x, quantized(g, g.node("Neg", x), OTHER)),
        "Mul": (x, quantized(g, g.node("Abs", x), OTHER)),
        "Concat": (x, quantized(g, g.node("Abs", x), OTHER)),
        "Clip": (x, g.constant(-1.0), g.constant(2.0)),
    }
    y = g.node(op, *operands.get(op, (x,)), **attributes)
    y = quantized(g, y, output) if quantize_output else y
    g.node("Identity", y, output="y")
    g.output("y", _shape(op))
    return g


def _shape(op: str) -> tuple[int, ...]:
    return {
        "Concat": (1, 16, 9, 9),
        "MaxPool": (1, 8, 4, 4),
        "AveragePool": (1, 8, 5, 5),
        "GlobalAveragePool": (1, 8, 1, 1),
        "ReduceMean": (1, 8, 1, 1),
        "Flatten": (1, 648),
        "Transpose": (1, 9, 9, 8),
    }.get(op, (1, 8, 9, 9))


CASES = [
    ("Add", {}, {"QLinearAdd": 1}),
    ("Mul", {}, {"QLinearMul": 1}),
    ("Concat", {"axis": 1}, {"Concat": 1}),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, {"MaxPool": 1}),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, {"QLinearAveragePool": 1}),
    ("GlobalAveragePool", {}, {"QLinearGlobalAveragePool": 1}),
    ("ReduceMean", {"axes": [2, 3]}, {"QLinearGlobalAveragePool": 1}),
    ("Relu", {}, {"Max": 1, "Relu": 0}),
    ("Clip", {}, {"Max": 1, "Min": 1, "Clip": 0}),
    ("Flatten", {}, {"Flatten": 1}),
    ("Transpose", {"perm": [0, 2, 3, 1]}, {"Transpose": 1}),
]


@pytest.mark.parametrize("output", [SCHEME, OTHER], ids=["same scheme", "other scheme"])
@pytest.mark.parametrize(("op", "attributes", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_an_operator_between_conversions_runs_in_integers(
    op: str, attributes: dict[str, object], wanted: dict[str, int], output: Scheme
) -> None:
    model = network(op, output=output, **attributes).model()
    made, counts = form(model)
    assert [fallback.node for fallback in made.floats if fallback.node.startswith(op)] == []
    assert {kind: counts[kind] for kind in wanted} == wanted
    image = np.random.default_rng(2).normal(0, 2, (1, 8, 9, 9)).astype(np.float32)
    kernels = Kernels(ir.to_proto(made.model), runnable_cores()["scalar"])
    actual, expected = kernels.run({"image": image})[0], reference(model, {"image": image})[0]
    apart = steps_apart(actual, expected, output.scale)
    assert apart.max() <= 1
    assert apart.mean() <= 0.04  # means of four integers are often halfway between two steps


def test_nodes_that_stay_float_say_why() -> None:
    g = GraphBuilder("floats", 17)
    x = quantized(g, g.input("image", (1, 8, 9, 9)))
    integers, scale, zero = g.random_int8(8, 8, 1, 1), g.constant(0.01), g.constant(0, np.int8)
    weight = g.node("DequantizeLinear", integers, scale, zero)
    g.node("Conv", x, weight, output="unquantized")
    g.node("Conv", x, g.weight(8, 8, 1, 1), output="float_weights")
    quantized(g, "float_weights")
    g.node("Softmax", x, output="softmax")
    shared = g.node("Conv", x, weight)
    quantized(g, shared)
    g.node("Identity", shared, output="shared")
    for name in ("unquantized", "float_weights", "softmax", "shared"):
        g.output(name, (1, 8, 9, 9))
    made, _ = form(g.model())
    assert [fallback.reason for fallback in made.floats] == [
        "stays float: its weights are not quantized",
        "stays float: there are no integer kernels for Softmax",
    ]


def test_a_residual_sum_follows_integer_sums_in_their_kernel() -> None:
    g = GraphBuilder("residual", 17)
    x = quantized(g, g.input("image", (1, 8, 9, 9)))
    weights = g.node("DequantizeLinear", g.random_int8(8, 8, 1, 1), g.constant(0.01), g.constant(0, np.int8))
    total = g.node("Add", x, g.node("Conv", x, weights))
    g.node("Identity", quantized(g, total, OTHER), output="y")
    g.output("y", (1, 8, 9, 9))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(g.model()))
    plan = TvmBackend().plan(model, load_target("host"), name="net", threads=1, progress=Silent())
    assert [fallback.node for fallback in plan.fallbacks if fallback.node.startswith("Add")] == []
    product = next(layer for layer in plan.layers if layer.macs)
    assert any(node.startswith("Add") for node in product.nodes)


def test_a_model_that_is_not_quantized_is_left_alone() -> None:
    model = ir.from_proto(residual_net())
    assert form_integer_nodes(model) == IntegerForm(model, (), ())


def by_onnx_runtime(model: onnx.ModelProto, folder: Path, *, signed: bool, per_channel: bool) -> onnx.ModelProto:
    """The model as ONNX Runtime's tool quantizes it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            shape = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
            random = np.random.default_rng(1)
            name = model.graph.input[0].name
            self._left = [{name: random.normal(0, 1, shape).astype(np.float32)} for _ in range(4)]

        def get_next(self) -> dict[str, Array] | None:
            return self._left.pop() if self._left else None

    onnx.save(model, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "quantized.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(folder / "quantized.onnx")


def built_and_run(model: onnx.ModelProto, folder: Path, target_name: str) -> tuple[Array, Array, Counter[str]]:
    """The artefact's output, ONNX Runtime's, and how many layers compute in which element type."""
    from edgec.core.passes import PassContext
    from edgec.pass_list import pass_list

    passed = ir.from_proto(model)
    for step in pass_list("exact", {}, TvmBackend.prerequisites):
        passed = step.run(passed, PassContext(load_target(target_name))).model
    plan = TvmBackend().plan(passed, load_target(target_name), name="net", threads=1, progress=Silent())
    execute(plan, folder, Silent())
    sample = plan.interface.inputs[0]
    values = {sample.name: np.random.default_rng(3).normal(0, 1, sample.shape).astype(np.float32)}
    made = run_artifact(folder, plan.interface, [values]).outputs[0]
    precisions = Counter(layer.precision for layer in plan.layers if layer.macs)
    return next(iter(made.values())), reference(model, values)[0], precisions


TARGETS = ["host", *(pytest.param(f"raspberry-pi-{model}", marks=pytest.mark.emulator) for model in (4, 5))]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
def test_a_residual_network_quantized_by_onnx_runtime(target: str, signed: bool, tmp_path: Path) -> None:
    model = by_onnx_runtime(residual_net(), tmp_path, signed=signed, per_channel=True)
    actual, expected, precisions = built_and_run(model, tmp_path / "artefact", target)
    assert precisions == {"int8" if signed else "uint8": 7}
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    scale = next(onnx.numpy_helper.to_array(x) for x in model.graph.initializer if x.name == last.input[1])
    apart = steps_apart(actual, expected, float(scale.reshape(-1)[0]))
    assert apart.max() <= 1


def test_a_mobile_network_with_activations_that_stay_float(tmp_path: Path) -> None:
    model = by_onnx_runtime(mobile_net(), tmp_path, signed=False, per_channel=False)
    actual, expected, precisions = built_and_run(model, tmp_path / "artefact", "host")
    assert precisions["uint8"] >= 6
    assert np.abs(actual - expected).max() <= 0.05 * np.ptp(expected)


@pytest.mark.parametrize("opset", [11, 17])
def test_the_generated_quantized_network(opset: int, tmp_path: Path) -> None:
    actual, expected, precisions = built_and_run(quantized_net(opset), tmp_path, "host")
    assert set(precisions) == {"uint8"}
    assert steps_apart(actual, expected, 0.03).max() <= 1


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul", "MatMul of two"])
def test_a_real_result_is_made_of_integer_sums(op: str) -> None:
    g = GraphBuilder("real", 17)
    shape = (1, 8, 9, 9) if op == "Conv" else (6, 8)
    x = quantized(g, g.input("image", shape))
    integers = (
        g.random_int8(5, 8, 3, 3) if op == "Conv" else g.random_int8(5, 8) if op == "Gemm" else g.random_int8(8, 5)
    )
    axis = 1 if op == "MatMul" else 0
    scales, zeros = g.constant(np.linspace(0.001, 0.01, 5)), g.constant(np.zeros(5), np.int8)
    match op:
        case "MatMul of two":
            y = g.node("MatMul", x, quantized(g, g.node("Transpose", g.node("Abs", x), perm=[1, 0]), OTHER))
        case "MatMul":
            y = g.node("MatMul", x, g.node("DequantizeLinear", integers, scales, zeros, axis=axis))
        case _:
            weights = g.node("DequantizeLinear", integers, scales, zeros, axis=axis)
            y = g.node(op, x, weights, g.weight(5), **({"transB": 1} if op == "Gemm" else {}))
    g.node("HardSwish", y, output="y")
    g.output("y", {"Conv": (1, 5, 7, 7), "MatMul of two": (6, 6)}.get(op, (6, 5)))
    model = g.model()
    made, counts = form(model)
    assert counts["ConvInteger" if op == "Conv" else "MatMulInteger"] == 1
    image = np.random.default_rng(2).normal(0, 2, shape).astype(np.float32)
    kernels = Kernels(ir.to_proto(made.model), runnable_cores()["scalar"])
    actual, expected = kernels.run({"image": image})[0], reference(model, {"image": image})[0]
    # The bias is rounded to steps of the sums, at most 0.0437 · 0.01.
    assert np.max(np.abs(actual - expected)) < 0.0005
