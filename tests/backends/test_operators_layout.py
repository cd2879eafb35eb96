"""Operators on channels-last values: the same numbers as ONNX Runtime, and no transpose inside a network."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from kernel_graph_evaluator import Evaluation, Kernels, operations
from node_cases import CORE

from edgec.backends.tvm.kernel_graph import Operation
from edgec.backends.tvm.model_lowering import lower_graph
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")


def _run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> tuple[list[np.ndarray], list[Operation]]:
    graph = lower_graph(ir.from_proto(onnx.shape_inference.infer_shapes(model)), CORE, "network")
    made = Evaluation(Kernels([graph])).run(graph, inputs)
    return made, [step for step in operations(graph.main.steps) if step.op == "Transpose"]


def _image(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def _check(model: onnx.ModelProto, transposes: int) -> None:
    inputs = {
        entry.name: _image(*(d.dim_value for d in entry.type.tensor_type.shape.dim)) for entry in model.graph.input
    }
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)
    made, found = _run(model, inputs)
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * float(np.abs(other).max()))
    assert len(found) == transposes, [step.node for step in found]


def test_a_network_with_every_layout_sensitive_operator_has_one_transpose() -> None:
    graph = GraphBuilder("layout", 18)
    x = graph.input("x", [1, 3, 12, 12])
    x = graph.node("Relu", graph.convolution(x, (3, 8), 3))
    x = graph.node("Pad", x, graph.integers(0, 0, 1, 0, 0, 0, 0, 2), mode="reflect")
    x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Resize", x, "", graph.constant([1, 1, 2, 2]), mode="linear")
    x = graph.node("Concat", x, graph.node("Sigmoid", x), axis=1)
    x = graph.node("Slice", x, graph.integers(2), graph.integers(14), graph.integers(1))
    x = graph.node("Add", x, graph.weight(12, 1, 1))
    x = graph.node("Mul", x, graph.weight(12, 14))
    x = graph.node("Softmax", x, axis=1)
    x = graph.node("InstanceNormalization", x, graph.positive(12), graph.weight(12))
    x = graph.node("Mul", x, graph.node("ReduceMean", x, graph.integers(2, 3)))
    x = graph.node("DepthToSpace", x, blocksize=2)
    x = graph.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = graph.convolution(x, (3, 4), 3)
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    graph.nodes("Gemm", x, graph.weight(4, 5), outputs=["y"])
    graph.output("y", [1, 5])
    _check(graph.model(), transposes=1)


def test_channels_moved_to_the_end_and_back_are_views() -> None:
    graph = GraphBuilder("views", 17)
    x = graph.input("x", [1, 6, 6, 3])
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.convolution(x, (3, 8), 3)
    graph.nodes("Transpose", x, outputs=["y"], perm=[0, 2, 3, 1])
    graph.output("y", [1, 6, 6, 8])
    _check(graph.model(), transposes=0)


def test_sequences_from_an_image_need_no_transpose() -> None:
    graph = GraphBuilder("sequence", 17)
    x = graph.convolution(graph.input("x", [1, 1, 4, 16]), (1, 8), 3)
    x = graph.node("AveragePool", x, kernel_shape=[4, 1])
    x = graph.node("Transpose", graph.squeeze(x, 2), perm=[0, 2, 1])
    graph.nodes("Softmax", graph.node("MatMul", x, graph.weight(8, 5)), outputs=["y"], axis=2)
    graph.output("y", [1, 16, 5])
    _check(graph.model(), transposes=0)
