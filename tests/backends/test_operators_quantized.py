"""ONNX Runtime's quantized operators against ONNX Runtime, to the last bit but for rounding of ties."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from kernel_graph_evaluator import Evaluation, Kernels
from node_cases import CORE
from onnx import TensorProto, helper

from edgec.backends.tvm.model_lowering import lower_graph

pytest.importorskip("tvm")

_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


def _model(op: str, tensors: int, dtype: str, shape: list[int], result: list[int]) -> onnx.ModelProto:
    random = np.random.default_rng(3)
    zero = random.integers(100, 140, tensors + 1) - (0 if dtype == "uint8" else 128)
    names, inputs, constants = [], [], []
    for number in range(tensors + 1):
        if number < tensors:
            inputs.append(helper.make_tensor_value_info(f"x{number}", _TYPES[dtype], shape))
            names.append(f"x{number}")
        scale = np.asarray(0.0213 + 0.0117 * number, np.float32)
        constants.append(onnx.numpy_helper.from_array(scale, f"scale{number}"))
        constants.append(onnx.numpy_helper.from_array(np.asarray(zero[number], dtype), f"zero{number}"))
        names += [f"scale{number}", f"zero{number}"]
    node = helper.make_node(op, names, ["y"], domain="com.microsoft")
    output = helper.make_tensor_value_info("y", _TYPES[dtype], result)
    graph = helper.make_graph([node], op, inputs, [output], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("dtype", _TYPES)
@pytest.mark.parametrize(
    ("op", "tensors", "result"),
    [
        ("QLinearAdd", 2, [1, 4, 5, 5]),
        ("QLinearMul", 2, [1, 4, 5, 5]),
        ("QLinearSigmoid", 1, [1, 4, 5, 5]),
        ("QLinearLeakyRelu", 1, [1, 4, 5, 5]),
        ("QLinearGlobalAveragePool", 1, [1, 4, 1, 1]),
    ],
)
def test_a_quantized_operator_is_at_most_one_step_from_onnx_runtime(
    op: str, tensors: int, result: list[int], dtype: str
) -> None:
    model = _model(op, tensors, dtype, [1, 4, 5, 5], result)
    random = np.random.default_rng(4)
    limits = np.iinfo(dtype)
    inputs = {f"x{i}": random.integers(limits.min, limits.max, (1, 4, 5, 5)).astype(dtype) for i in range(tensors)}
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)[0]
    graph = lower_graph(ir.from_proto(model), CORE, "quantized")
    made = Evaluation(Kernels([graph])).run(graph, inputs)[0]
    distance = np.abs(made.astype(int) - expected.astype(int))
    assert distance.max() <= 1
    assert distance.mean() <= 0.02
