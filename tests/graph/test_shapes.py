"""Shapes are found where ONNX's own inference alone would lose them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import TensorProto

from edgec.graph.shapes import infer_shapes
from tests.models import GraphBuilder


def test_a_branch_sees_the_constants_around_it() -> None:
    g = GraphBuilder("outer", 17)
    x, choice = g.input("x", (2, 6)), g.input("choice", (), TensorProto.BOOL)
    shape, axis = g.integers(3, 4), g.node("Constant", value_ints=[0])
    branches = []
    for name in ("yes", "no"):
        branch = GraphBuilder(name, 17)
        branch.node("Unsqueeze", branch.node("Reshape", x, shape), axis, output=f"{name}_out")
        branch.output(f"{name}_out", None)
        branches.append(branch.graph())
    g.node("If", choice, then_branch=branches[0], else_branch=branches[1], output="y")
    g.output("y", None)
    from onnx import helper

    model = ir.from_proto(helper.make_model(g.graph(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    infer_shapes(model)
    inner = [node.outputs[0].shape for graph in model.graph.subgraphs() for node in graph if node.op_type == "Reshape"]
    assert inner == [ir.Shape([3, 4])] * 2
    assert len(model.graph.initializers) == 1
    assert all(not graph.initializers for graph in model.graph.subgraphs())


def test_weights_in_constant_nodes_have_shapes_and_stay() -> None:
    from onnx import helper, numpy_helper

    g = GraphBuilder("constants", 17)
    weight = g.node("Constant", value=numpy_helper.from_array(np.ones((64, 32), np.float32)))
    g.node("MatMul", g.input("x", (1, 64)), weight, output="y")
    g.output("y", None)
    model = ir.from_proto(helper.make_model(g.graph(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    infer_shapes(model)
    assert model.graph.outputs[0].shape == ir.Shape([1, 32])
    assert [node.op_type for node in model.graph] == ["Constant", "MatMul"]
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert model.graph.node(0).outputs[0].shape == ir.Shape([64, 32])
