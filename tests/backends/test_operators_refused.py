"""A model that cannot be lowered: every reason in one go, and no node blamed for another."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from node_cases import CORE
from onnx import TensorProto

from edgec.backends.tvm.model_lowering import lower_graph, unsupported_nodes
from edgec.core.errors import EdgecError, ExitStatus
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")


def _graph(graph: GraphBuilder) -> ir.Model:
    opsets = [onnx.helper.make_opsetid("", graph.opset)]
    model = onnx.helper.make_model(graph.graph(), opset_imports=opsets)
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


def test_every_unsupported_node_is_listed_with_its_reason() -> None:
    graph = GraphBuilder("refused", 17)
    x = graph.input("x", [2, 4])
    graph.output(graph.node("Relu", graph.node("NonZero", x)), None, TensorProto.INT64)
    graph.output(graph.node("Abs", graph.node("RandomUniformLike", x)), [2, 4])
    graph.output(graph.node("Reshape", x, graph.input("shape", [2], TensorProto.INT64)), None)
    problems = unsupported_nodes(_graph(graph), CORE)
    assert [problem.node.split("(")[1] for problem in problems] == ["NonZero)", "RandomUniformLike)", "Reshape)"]
    assert "depends on data" in problems[0].reason
    assert "random" in problems[1].reason
    assert "its shape is computed at run time" in problems[2].reason
    assert all(problem.hint for problem in problems)


def test_lowering_it_all_the_same_ends_with_the_list() -> None:
    graph = GraphBuilder("refused", 17)
    x = graph.input("x", ["batch", 4])
    graph.output(graph.node("NonZero", x), None, TensorProto.INT64)
    with pytest.raises(EdgecError) as caught:
        lower_graph(_graph(graph), CORE, "refused")
    assert caught.value.code.code == "EC0401"
    assert caught.value.code.status == ExitStatus.UNSUPPORTED
    assert "--shape" in caught.value.details[0]


def test_a_shape_that_contradicts_the_model_is_refused_and_not_computed() -> None:
    graph = GraphBuilder("wrong", 17)
    x = graph.input("x", [2, 4])
    graph.nodes("Concat", x, x, outputs=["y"], axis=0)
    graph.output("y", [2, 8])
    problems = unsupported_nodes(_graph(graph), CORE)
    assert len(problems) == 1
    assert "declares y" in problems[0].reason


def test_elements_that_kernels_do_not_know_are_named() -> None:
    graph = GraphBuilder("strange", 17)
    x = graph.input("x", [2, 4], TensorProto.BFLOAT16)
    graph.output(graph.node("Relu", x), [2, 4], TensorProto.BFLOAT16)
    problems = unsupported_nodes(_graph(graph), CORE)
    assert "BFLOAT16" in problems[0].reason


def test_a_branch_that_is_known_leaves_no_condition() -> None:
    graph = GraphBuilder("branch", 17)
    x = graph.input("x", [2])
    branches = []
    for name, op in (("then", "Neg"), ("otherwise", "Exp")):
        inner = onnx.helper.make_node(op, [x], [name])
        result = onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        branches.append(onnx.helper.make_graph([inner], name, [], [result]))
    condition = graph.constant(True, np.bool_)
    graph.nodes("If", condition, outputs=["y"], then_branch=branches[0], else_branch=branches[1])
    graph.output("y", [2])
    lowered = lower_graph(_graph(graph), CORE, "branch")
    assert [getattr(step, "op", "") for step in lowered.main.steps] == ["Neg"]
