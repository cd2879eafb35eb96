"""What can be computed at compile time is, and nothing grows out of bounds."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.core.passes import PassContext
from edgec.passes.fold_constants import FoldConstants
from tests.passes.comparison import check_pass, model_of, op_types, outputs_of, prepared


def constant(name: str, array: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_arithmetic_on_extents_goes(opset: int) -> None:
    """Flatten as older torch writes it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    unsqueeze = {"axes": [0]} if opset < 13 else {}
    names = ["g"] if opset < 13 else ["g", "zero"]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["g"]),
        helper.make_node("Unsqueeze", names, ["u"], **unsqueeze),
        helper.make_node("Concat", ["u", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"first": np.array(0), "rest": np.array([-1]), "zero": np.array([0])}
    model, _ = check_pass(FoldConstants(), model_of(nodes, {"x": (2, 3, 4)}, ["y"], constants, opset=opset))
    assert op_types(model) == ["Reshape"]


def test_split_of_extents_folds_although_it_has_several_outputs() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Split", ["s"], ["a", "b"], axis=0),
        helper.make_node("Concat", ["b", "a"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    model, _ = check_pass(FoldConstants(), model_of(nodes, {"x": (2, 3, 4, 5)}, ["y"], opset=13))
    assert op_types(model) == ["Reshape"]


@pytest.mark.parametrize("op_type", ["ConstantOfShape", "Expand", "Tile"])
def test_a_small_constant_does_not_become_a_huge_one(op_type: str) -> None:
    constants = {"extents": np.array([64, 1024, 1024]), "one": np.ones((1, 1, 1), np.float32)}
    names = ["extents"] if op_type == "ConstantOfShape" else ["one", "extents"]
    nodes = [
        helper.make_node(op_type, names, ["big"], name="grow"),
        helper.make_node("ReduceMean", ["big"], ["mean"], axes=[0, 1, 2], keepdims=1, name="mean"),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    model = prepared(model_of(nodes, {"x": (1, 2, 3)}, ["y"], constants))
    result = FoldConstants().run(model, PassContext())
    assert "grow" in {skip.node for skip in result.skipped}
    assert all(value.const_value.nbytes < 1000 for value in model.graph.initializers.values() if value.const_value)


def test_a_weight_that_is_transposed_takes_no_more_room() -> None:
    weights = np.random.default_rng(0).standard_normal((1500, 1000)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    model, _ = check_pass(FoldConstants(), model_of(nodes, {"x": (1, 1000)}, ["y"], {"w": weights}), tolerance=1e-4)
    assert op_types(model) == ["MatMul"]
    assert len(model.graph.initializers) == 1


def test_quantisation_stays() -> None:
    constants = {"w": np.ones((2, 2), np.int8), "s": np.array(0.5, np.float32), "z": np.array(0, np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], name="dq"),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    model, result = check_pass(FoldConstants(), model_of(nodes, {"x": (2, 2)}, ["y"], constants))
    assert op_types(model) == ["DequantizeLinear", "MatMul"]
    assert not result.skipped


def test_random_numbers_stay() -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["c"], ["r"], seed=1.0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    model = prepared(model_of(nodes, {"x": (2, 2)}, ["y"], {"c": np.ones((2, 2), np.float32)}))
    FoldConstants().run(model, PassContext())
    assert "RandomNormalLike" in op_types(model)


def test_an_output_that_is_constant_keeps_its_name() -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Neg", ["x"], ["y"])]
    proto = model_of(nodes, {"x": (2, 3)}, ["y", "s"], types={"s": TensorProto.INT64})
    check_pass(FoldConstants(), proto)


def test_bodies_of_loops_fold_too() -> None:
    body = helper.make_graph(
        [
            constant("two", np.array([2.0], np.float32)),
            helper.make_node("Mul", ["two", "outer"], ["four"]),
            helper.make_node("Add", ["c", "four"], ["c_out"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c", TensorProto.FLOAT, (1, 4)),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c_out", TensorProto.FLOAT, (1, 4)),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)
    constants = {"trips": np.array(3), "outer": np.array([2.0], np.float32)}
    model, _ = check_pass(FoldConstants(), model_of([loop], {"x": (1, 4)}, ["y"], constants))
    assert "Mul" not in op_types(model)


def test_a_second_run_finds_nothing() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "f"], ["m"]),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    proto = model_of(nodes, {"x": (2, 2)}, ["y"])
    model, first = check_pass(FoldConstants(), proto)
    assert first.modified
    before = ir.serde.serialize_model(model).SerializeToString()
    FoldConstants().run(model, PassContext())
    assert ir.serde.serialize_model(model).SerializeToString() == before
    assert outputs_of(model, {"x": np.zeros((2, 2), np.float32)})[0].shape == (2, 2)
