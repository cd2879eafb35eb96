"""Products of quantized tensors against ONNX Runtime: exact."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from kernel_evaluator import AVX512, SCALAR, assert_agrees
from onnx import helper, numpy_helper

from edgec.backends.tvm.core_description import CoreDescription

Array = np.ndarray


class Branches:
    """A model under construction, of independent nodes."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(11)
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: dict[str, Array] = {}

    def integers(self, shape: tuple[int, ...], dtype: str) -> Array:
        limits = np.iinfo(dtype)
        return self.random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)

    def feed(self, contents: Array) -> str:
        name = f"x{len(self.inputs)}"
        kind = helper.np_dtype_to_tensor_dtype(contents.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, contents.shape))
        self.values[name] = contents
        return name

    def constant(self, contents: Array) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(contents, name))
        return name

    def scalar(self, number: float, dtype: str) -> str:
        return self.constant(np.array(number, dtype))

    def node(self, op: str, operands: list[str], dtype: str, **attributes: object) -> None:
        name = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, operands, [name], name=f"node{len(self.nodes)}", **attributes))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.outputs.append(helper.make_tensor_value_info(name, kind, None))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "integers", self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def products() -> Branches:
    made = Branches()
    for dtype, weights, zero in (("uint8", "int8", 128), ("uint8", "uint8", 3), ("int8", "int8", 0)):
        x = made.feed(made.integers((1, 8, 9, 10), dtype))
        kernel = made.constant(made.integers((20, 8, 3, 3), weights))
        points = [made.scalar(zero, dtype), made.scalar(0 if weights == "int8" else 120, weights)]
        if (dtype, weights) != ("int8", "int8"):
            made.node("ConvInteger", [x, kernel, *points], "int32", pads=[1, 1, 1, 1], strides=[2, 1])
        scales = [made.scalar(0.02, "float32"), made.constant(np.linspace(0.01, 0.03, 20, dtype=np.float32))]
        bias = made.constant(made.random.integers(-5000, 5000, 20).astype(np.int32))
        weights_points = made.constant(np.zeros(20, weights)) if weights == "int8" else points[1]
        operands = [x, scales[0], points[0], kernel, scales[1], weights_points, made.scalar(0.9, "float32")]
        made.node("QLinearConv", [*operands, made.scalar(zero, dtype), bias], dtype, pads=[1, 1, 1, 1])
        depthwise = made.constant(made.integers((8, 1, 3, 3), weights))
        operands[3:6] = [depthwise, made.scalar(0.02, "float32"), points[1]]
        made.node("QLinearConv", [*operands, made.scalar(zero, dtype)], dtype, pads=[0, 1, 1, 0], group=8)
        left = made.feed(made.integers((5, 33), dtype))
        right = made.constant(made.integers((33, 18), weights))
        made.node("MatMulInteger", [left, right, *points], "int32")
        operands = [left, scales[0], points[0], right, made.scalar(0.01, "float32"), points[1]]
        made.node("QLinearMatMul", [*operands, made.scalar(3.1, "float32"), made.scalar(zero, dtype)], dtype)
    left = made.feed(made.integers((2, 5, 16), "uint8"))
    right = made.feed(made.integers((2, 16, 19), "uint8"))
    made.node("MatMulInteger", [left, right, made.feed(np.array(7, np.uint8))], "int32")
    return made


@pytest.mark.parametrize("core", [AVX512, SCALAR], ids=["avx512", "scalar"])
def test_integer_products_are_exact(core: CoreDescription) -> None:
    made = products()
    assert_agrees(made.model(), made.values, core)
