"""Nodes without effect go; outputs keep their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.passes.remove_identity import RemoveIdentity
from tests.passes.comparison import check_pass, model_of, op_types

SHAPE = (1, 3, 4, 4)
ARRAYS: dict[str, np.ndarray] = {
    "zero": np.array(0, np.float32),
    "one": np.array([1], np.float32),
    "shape": np.array(SHAPE),
    "ones": np.ones(4, np.int64),
    "pads": np.zeros(8, np.int64),
    "starts": np.zeros(4, np.int64),
    "ends": np.full(4, 99),
    "axes": np.arange(4),
    "scales": np.ones(4, np.float32),
    "ratio": np.array(0.4, np.float32),
    "no": np.array(False),
}


def node(op_type: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, ["v", *inputs], ["w"], name="idle", **attributes)


WITHOUT_EFFECT = [
    (node("Identity"), (9, 21)),
    (node("Dropout"), (9, 12, 13, 22)),
    (node("Dropout", ratio=0.5), (9, 11)),
    (node("Dropout", "ratio", "no"), (12, 21)),
    (node("Concat", axis=1), (9, 13)),
    (node("Sum"), (9, 13)),
    (node("Cast", to=TensorProto.FLOAT), (9, 13, 21)),
    (node("Reshape", "shape"), (9, 14, 21)),
    (node("Expand", "shape"), (9, 13)),
    (node("Tile", "ones"), (9, 13)),
    (node("Transpose", perm=[0, 1, 2, 3]), (9, 13)),
    (node("Pad", pads=[0] * 8), (9,)),
    (node("Pad", "pads"), (11, 18)),
    (node("Slice", starts=[0, 0], ends=[9, 99]), (9,)),
    (node("Slice", "starts", "ends", "axes", "ones"), (10, 13)),
    (node("Resize", "", "scales", mode="linear"), (13, 18)),
    (node("Add", "zero"), (9, 14)),
    (node("Sub", "zero"), (9, 14)),
    (node("Mul", "one"), (9, 14)),
    (node("Div", "one"), (9, 14)),
    (node("Pow", "one"), (9, 15)),
    (node("Clip"), (11, 13)),
]


@pytest.mark.parametrize(("idle", "opset"), [(idle, opset) for idle, opsets in WITHOUT_EFFECT for opset in opsets])
@pytest.mark.parametrize("is_output", [True, False])
def test_node_without_effect_goes(idle: onnx.NodeProto, opset: int, is_output: bool) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["v"], name="neg"), idle]
    if not is_output:
        nodes.append(helper.make_node("Abs", ["w"], ["y"], name="abs"))
    used = {name: ARRAYS[name] for name in idle.input if name in ARRAYS}
    proto = model_of(nodes, {"x": SHAPE}, ["w" if is_output else "y"], used, opset=opset)
    model, result = check_pass(RemoveIdentity(), proto)
    assert op_types(model) == (["Neg"] if is_output else ["Abs", "Neg"])
    assert result.stats["removed"] == 1


WITH_EFFECT = [
    node("Slice", "starts_back", "ends_back", "axes_one", "minus"),
    node("Transpose", perm=[0, 1, 3, 2]),
    node("Mul", "two"),
    node("Add", "column"),
    node("Reshape", "other"),
]


@pytest.mark.parametrize("working", WITH_EFFECT, ids=lambda working: working.op_type)
def test_node_with_effect_stays(working: onnx.NodeProto) -> None:
    constants = {
        "starts_back": np.array([-1]),
        "ends_back": np.array([-99]),
        "axes_one": np.array([2]),
        "minus": np.array([-1]),
        "two": np.array(2, np.float32),
        "column": np.zeros((2, 1, 1, 1), np.float32),
        "other": np.array([3, 1, 4, 4]),
    }
    used = {name: constants[name] for name in working.input if name in constants}
    nodes = [helper.make_node("Neg", ["x"], ["v"], name="neg"), working]
    _, result = check_pass(RemoveIdentity(), model_of(nodes, {"x": SHAPE}, ["w"], used))
    assert not result.modified


def test_input_as_output_needs_its_node() -> None:
    proto = model_of([helper.make_node("Identity", ["x"], ["y"], name="pass")], {"x": (2,)}, ["y"])
    model, result = check_pass(RemoveIdentity(), proto)
    assert op_types(model) == ["Identity"]
    assert [skip.node for skip in result.skipped] == ["pass"]


def test_one_value_as_two_outputs() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["v"]),
        helper.make_node("Identity", ["v"], ["a"]),
        helper.make_node("Identity", ["v"], ["b"]),
        helper.make_node("Dropout", ["v"], ["c"]),
    ]
    check_pass(RemoveIdentity(), model_of(nodes, {"x": (2,)}, ["a", "b", "c", "v"]))


def test_mask_of_a_dropout_that_is_read_becomes_a_constant() -> None:
    nodes = [helper.make_node("Dropout", ["x"], ["v", "m"]), helper.make_node("Where", ["m", "v", "x"], ["y"])]
    model, _ = check_pass(RemoveIdentity(), model_of(nodes, {"x": (2, 3)}, ["y"]))
    assert op_types(model) == ["Where"]


@pytest.mark.parametrize(("second", "left"), [([1, 2, 0], ["Transpose"]), ([2, 0, 1], ["Neg"])])
def test_transposes_are_joined(second: list[int], left: list[str]) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[1, 2, 0]),
        helper.make_node("Transpose", ["a"], ["b"], perm=second),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    model, _ = check_pass(RemoveIdentity(), model_of(nodes, {"x": (2, 3, 4)}, ["y"]))
    assert op_types(model) == sorted({"Neg", *left})


def test_reshapes_are_joined() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["a"]),
        helper.make_node("Reshape", ["a", "back"], ["y"]),
    ]
    constants = {"flat": np.array([-1]), "back": np.array([4, -1])}
    model, _ = check_pass(RemoveIdentity(), model_of(nodes, {"x": (2, 3, 4)}, ["y"], constants))
    assert op_types(model) == ["Reshape"]
