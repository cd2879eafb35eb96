"""Operators with function bodies are expanded and still compute the same."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from edgec.passes.lower_functions import LowerFunctions
from tests.passes.comparison import check_pass, model_of, op_types

X = np.float32


def vector(n: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, n).astype(np.float32)


CASES = {
    "Celu": (helper.make_node("Celu", ["x"], ["y"], alpha=0.7), {"x": (2, 4, 6)}, {}, (12, 17, 22)),
    "Mish": (helper.make_node("Mish", ["x"], ["y"]), {"x": (2, 4, 6)}, {}, (18, 21, 22)),
    "GroupNormalization": (
        helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2),
        {"x": (2, 4, 6)},
        {"s": vector(4), "b": vector(4)},
        (21, 22),
    ),
    "MeanVarianceNormalization": (
        helper.make_node("MeanVarianceNormalization", ["x"], ["y"]),
        {"x": (2, 4, 6, 3)},
        {},
        (13, 17, 18, 21),
    ),
    "CenterCropPad": (
        helper.make_node("CenterCropPad", ["x", "s"], ["y"], axes=[1, 2]),
        {"x": (2, 4, 6)},
        {"s": np.array([3, 8])},
        (18, 21),
    ),
    "Selu": (helper.make_node("Selu", ["x"], ["y"]), {"x": (2, 4)}, {}, (18, 22)),
    "Shrink": (helper.make_node("Shrink", ["x"], ["y"], bias=0.1, lambd=0.4), {"x": (2, 4)}, {}, (18, 22)),
    "ReduceL2": (
        helper.make_node("ReduceL2", ["x", "a"], ["y"], keepdims=0),
        {"x": (2, 4, 5)},
        {"a": np.array([1])},
        (18, 21),
    ),
    "SoftmaxCrossEntropyLoss": (
        helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"]),
        {"x": (2, 4)},
        {"t": np.array([1, 3])},
        (13, 17),
    ),
    "LayerNormalization": (
        helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"]),
        {"x": (2, 4, 6)},
        {"s": vector(6), "b": vector(6)},
        (17, 18, 22),
    ),
    "AffineGrid": (
        helper.make_node("AffineGrid", ["x", "s"], ["y"], align_corners=1),
        {"x": (2, 2, 3)},
        {"s": np.array([2, 1, 4, 5])},
        (20, 21),
    ),
}


@pytest.mark.parametrize(("operator", "opset"), [(name, opset) for name, case in CASES.items() for opset in case[3]])
def test_expanded_operator_computes_the_same(operator: str, opset: int) -> None:
    node, inputs, constants, _ = CASES[operator]
    model, result = check_pass(
        LowerFunctions(LowerFunctions.Options(operators=(operator,))),
        model_of([node], inputs, ["y"], constants, opset=opset),
    )
    assert operator not in op_types(model)
    assert result.stats["expanded"] >= 1


def test_shapes_within_a_body_fold_away() -> None:
    node, inputs, constants, _ = CASES["CenterCropPad"]
    model, _ = check_pass(
        LowerFunctions(LowerFunctions.Options(operators=("CenterCropPad",))),
        model_of([node], inputs, ["y"], constants, opset=18),
    )
    assert not {"Shape", "If", "Loop"} & set(op_types(model))


def test_an_operator_without_a_body_is_listed_with_the_reason() -> None:
    proto = model_of([helper.make_node("Tanh", ["x"], ["y"], name="t")], {"x": (2, 3)}, ["y"])
    _, result = check_pass(LowerFunctions(LowerFunctions.Options(operators=("Tanh",))), proto)
    assert [(skip.node, "no function" in skip.reason) for skip in result.skipped] == [("t", True)]
