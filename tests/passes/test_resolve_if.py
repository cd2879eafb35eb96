"""An If whose condition is known becomes its branch, nested ones too."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.passes.resolve_if import ResolveIf
from tests.passes.comparison import check_pass, model_of, op_types


def branch(name: str, nodes: list[onnx.NodeProto], *outputs: str, **constants: np.ndarray) -> onnx.GraphProto:
    infos = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs]
    return helper.make_graph(nodes, name, [], infos, [numpy_helper.from_array(a, n) for n, a in constants.items()])


def choice(
    condition: str, outputs: list[str], then: onnx.GraphProto, otherwise: onnx.GraphProto, name: str = "if"
) -> onnx.NodeProto:
    return helper.make_node("If", [condition], outputs, name=name, then_branch=then, else_branch=otherwise)


@pytest.mark.parametrize("taken", [True, False])
def test_branch_with_initializers_and_clashing_names(taken: bool) -> None:
    then = branch("t", [helper.make_node("Add", ["x", "w"], ["v"])], "v", w=np.full((3,), 2, np.float32))
    otherwise = branch("e", [helper.make_node("Mul", ["x", "w"], ["v"])], "v", w=np.full((3,), 5, np.float32))
    nodes = [choice("c", ["r"], then, otherwise), helper.make_node("Add", ["r", "w2"], ["y"])]
    constants = {"c": np.array(taken), "w2": np.full((3,), 7, np.float32)}
    model, result = check_pass(ResolveIf(), model_of(nodes, {"x": (2, 3)}, ["y"], constants))
    assert op_types(model) == sorted(["Add", "Add" if taken else "Mul"])
    assert result.stats["resolved"] == 1


def test_nested_condition_that_follows_from_shapes() -> None:
    inner = choice(
        "big",
        ["inner"],
        branch("it", [helper.make_node("Neg", ["h"], ["a"])], "a"),
        branch("ie", [helper.make_node("Abs", ["h"], ["b"])], "b"),
        "inner_if",
    )
    then = branch(
        "t",
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("Size", ["h"], ["n"]),
            helper.make_node("Greater", ["n", "limit"], ["big"]),
            inner,
        ],
        "inner",
    )
    otherwise = branch("e", [helper.make_node("Exp", ["x"], ["z"])], "z")
    constants = {"c": np.array([True]), "limit": np.array(4)}
    proto = model_of([choice("c", ["y"], then, otherwise)], {"x": (2, 3)}, ["y"], constants)
    model, result = check_pass(ResolveIf(), proto)
    assert op_types(model) == ["Neg", "Relu"]
    assert result.stats["resolved"] == 2


def test_branch_that_hands_back_outer_values_does_not_rename_the_input() -> None:
    then = branch("t", [helper.make_node("Identity", ["x"], ["a"])], "a", k=np.ones(3, np.float32))
    otherwise = branch("e", [helper.make_node("Neg", ["x"], ["b"])], "b")
    proto = model_of([choice("c", ["y"], then, otherwise)], {"x": (2, 3)}, ["y"], {"c": np.array(True)})
    check_pass(ResolveIf(), proto)


def test_constant_branch_becomes_an_output() -> None:
    then = branch("t", [], "k", k=np.ones((2, 3), np.float32))
    otherwise = branch("e", [helper.make_node("Neg", ["x"], ["b"])], "b")
    nodes = [choice("c", ["y"], then, otherwise), helper.make_node("Add", ["x", "y"], ["z"])]
    check_pass(ResolveIf(), model_of(nodes, {"x": (2, 3)}, ["y", "z"], {"c": np.array(True)}))


def test_computed_condition_stays_with_a_reason() -> None:
    then = branch("t", [helper.make_node("Neg", ["x"], ["a"])], "a")
    otherwise = branch("e", [helper.make_node("Abs", ["x"], ["b"])], "b")
    nodes = [choice("c", ["y"], then, otherwise, "choose")]
    proto = model_of(nodes, {"x": (2, 3), "c": ()}, ["y"], types={"c": TensorProto.BOOL})
    _, result = check_pass(ResolveIf(), proto)
    assert [(skip.node, skip.reason) for skip in result.skipped] == [
        ("choose", "its condition is computed at run time")
    ]
