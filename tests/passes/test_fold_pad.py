"""Paddings move into convolutions and pooling only where the outputs stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgec.passes.fold_pad import FoldPad
from tests.passes.comparison import check_pass, model_of, op_types


def pad_node(
    opset: int, extents: list[int], constants: dict[str, np.ndarray], value: float | None = 0.0, source: str = "x"
) -> onnx.NodeProto:
    if opset < 11:
        return helper.make_node("Pad", [source], ["p"], name="pad", pads=extents, value=value or 0.0)
    constants["extents"] = np.array(extents)
    names = [source, "extents"]
    if value is not None:
        constants["value"] = np.array(value, np.float32)
        names.append("value")
    return helper.make_node("Pad", names, ["p"], name="pad")


@st.composite
def padded_reader(draw: st.DrawFn) -> dict[str, Any]:
    reader = draw(st.sampled_from(["Conv", "AveragePool", "MaxPool"]))
    chosen = {
        "reader": reader,
        "opset": draw(st.sampled_from([9, 10, 11, 13, 18, 21])),
        "begins": draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        "ends": draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        "own": draw(st.sampled_from([None, (0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)])),
        "auto_pad": draw(st.sampled_from([None, "SAME_UPPER", "SAME_LOWER", "VALID"])) if reader == "Conv" else None,
        "kernel": draw(st.tuples(st.integers(1, 3), st.integers(2, 4))),
        "stride": draw(st.integers(1, 2)),
        "value": draw(st.sampled_from([0.0, None, 1.5, float("-inf")])),
        "relu": draw(st.booleans()),
        "ceil": draw(st.integers(0, 1)),
        "count": draw(st.integers(0, 1)),
    }
    if chosen["own"] and reader != "Conv" and max(chosen["own"]) >= min(chosen["kernel"]):
        chosen["own"] = None
    return chosen


@settings(max_examples=150, deadline=None, derandomize=True)
@given(padded_reader())
def test_any_padding_computes_the_same(chosen: dict[str, Any]) -> None:
    constants: dict[str, np.ndarray] = {}
    extents = [0, 0, *chosen["begins"], 0, 0, *chosen["ends"]]
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="relu")] if chosen["relu"] else []
    source = "r" if chosen["relu"] else "x"
    nodes.append(pad_node(chosen["opset"], extents, constants, chosen["value"], source))
    attributes: dict[str, Any] = {"strides": [chosen["stride"]] * 2}
    if chosen["auto_pad"]:
        attributes["auto_pad"] = chosen["auto_pad"]
    elif chosen["own"]:
        attributes["pads"] = list(chosen["own"])
    names = ["p"]
    if chosen["reader"] == "Conv":
        constants["w"] = np.random.default_rng(0).standard_normal((2, 3, *chosen["kernel"])).astype(np.float32)
        names.append("w")
    else:
        attributes["kernel_shape"] = list(chosen["kernel"])
        if chosen["opset"] >= 10:
            attributes["ceil_mode"] = chosen["ceil"]
        if chosen["reader"] == "AveragePool":
            attributes["count_include_pad"] = chosen["count"]
    nodes.append(helper.make_node(chosen["reader"], names, ["y"], name="reader", **attributes))
    proto = model_of(nodes, {"x": (1, 3, 8, 9)}, ["y"], constants, opset=chosen["opset"])
    model, result = check_pass(FoldPad(), proto)
    assert ("Pad" in op_types(model)) == bool(result.skipped)
    zero = chosen["value"] in (0.0, None) or (chosen["opset"] < 11 and chosen["value"] is None)
    if chosen["reader"] == "Conv" and zero:
        assert "Pad" not in op_types(model)


def test_padding_read_by_two_convolutions_goes_into_both() -> None:
    constants = {"w": np.ones((2, 3, 3, 3), np.float32)}
    nodes = [
        pad_node(17, [0, 0, 1, 2, 0, 0, 0, 1], constants),
        helper.make_node("Conv", ["p", "w"], ["a"], name="a"),
        helper.make_node("Conv", ["p", "w"], ["b"], name="b", pads=[1, 0, 0, 0]),
    ]
    model, result = check_pass(FoldPad(), model_of(nodes, {"x": (1, 3, 6, 6)}, ["a", "b"], constants))
    assert op_types(model) == ["Conv", "Conv"]
    assert result.stats["folded"] == 2


def test_axes_of_opset_18_may_be_negative() -> None:
    constants = {"w": np.ones((2, 3, 3, 3), np.float32), "extents": np.array([1, 2]), "axes": np.array([-1])}
    nodes = [
        helper.make_node("Pad", ["x", "extents", "", "axes"], ["p"], name="pad"),
        helper.make_node("Conv", ["p", "w"], ["y"], name="conv"),
    ]
    model, _ = check_pass(FoldPad(), model_of(nodes, {"x": (1, 3, 6, 6)}, ["y"], constants, opset=18))
    assert op_types(model) == ["Conv"]


@pytest.mark.parametrize(
    ("extents", "mode", "reason"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], "reflect", "reflect"),
        ([0, 1, 1, 1, 0, 0, 1, 1], "constant", "channels"),
        ([0, 0, -1, 1, 0, 0, 1, 1], "constant", "crops"),
    ],
)
def test_reason_names_the_obstacle(extents: list[int], mode: str, reason: str) -> None:
    channels = 3 + extents[1]
    constants = {"w": np.ones((2, channels, 3, 3), np.float32), "extents": np.array(extents)}
    nodes = [
        helper.make_node("Pad", ["x", "extents"], ["p"], name="pad", mode=mode),
        helper.make_node("Conv", ["p", "w"], ["y"], name="conv"),
    ]
    _, result = check_pass(FoldPad(), model_of(nodes, {"x": (1, 3, 6, 6)}, ["y"], constants))
    assert [skip.node for skip in result.skipped] == ["pad"]
    assert reason in result.skipped[0].reason
