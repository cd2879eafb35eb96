"""Normalisations disappear in the weights next to them without a change of the outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgec.passes.fold_batch_norm import FoldBatchNorm
from tests.passes.comparison import check_pass, model_of, op_types

RNG = np.random.default_rng


def norm_constants(channels: int, prefix: str = "n", seed: int = 5) -> dict[str, np.ndarray]:
    generator = RNG(seed)
    return {
        f"{prefix}_scale": generator.uniform(-1.5, 1.5, channels).astype(np.float32),
        f"{prefix}_shift": generator.standard_normal(channels).astype(np.float32),
        f"{prefix}_mean": generator.standard_normal(channels).astype(np.float32),
        f"{prefix}_var": generator.uniform(0.3, 2.0, channels).astype(np.float32),
    }


def norm_node(x: str, y: str, prefix: str = "n", **attributes: Any) -> onnx.NodeProto:
    names = [x, *(f"{prefix}_{role}" for role in ("scale", "shift", "mean", "var"))]
    return helper.make_node("BatchNormalization", names, [y], name=f"bn_{y}", **attributes)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return (RNG(seed).standard_normal(shape) * 0.5).astype(np.float32)


@st.composite
def convolution(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "op_type": draw(st.sampled_from(["Conv", "ConvTranspose"])),
        "groups": draw(st.sampled_from([1, 2, 4])),
        "out_per_group": draw(st.integers(1, 3)),
        "kernel": draw(st.sampled_from([(1,), (3,), (2, 3), (1, 1)])),
        "stride": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "epsilon": draw(st.sampled_from([1e-5, 1e-2])),
        "opset": draw(st.sampled_from([9, 13, 14, 15, 21])),
        "after": draw(st.booleans()),
        "pads": draw(st.booleans()),
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(convolution())
def test_any_convolution_with_a_norm_computes_the_same(chosen: dict[str, Any]) -> None:
    groups, per_group, kernel = chosen["groups"], chosen["out_per_group"], chosen["kernel"]
    out_channels = groups * per_group
    transposed = chosen["op_type"] == "ConvTranspose"
    shape = (4, per_group, *kernel) if transposed else (out_channels, 4 // groups, *kernel)
    constants = {"w": weights(*shape), **norm_constants(out_channels if chosen["after"] else 4)}
    names = ["x" if chosen["after"] else "v", "w"]
    if chosen["bias"]:
        constants["b"] = weights(out_channels, seed=1)
        names.append("b")
    attributes = {"group": groups, "strides": [chosen["stride"]] * len(kernel)}
    if chosen["pads"] and kernel[-1] > 1:
        attributes["pads"] = [0] * (len(kernel) - 1) + [1] + [0] * len(kernel)
    conv = helper.make_node(chosen["op_type"], names, ["v" if chosen["after"] else "y"], name="conv", **attributes)
    norm = norm_node("v" if chosen["after"] else "x", "y" if chosen["after"] else "v", epsilon=chosen["epsilon"])
    nodes = [conv, norm] if chosen["after"] else [norm, conv]
    proto = model_of(nodes, {"x": (2, 4, *(7,) * len(kernel))}, ["y"], constants, opset=chosen["opset"])
    model, _ = check_pass(FoldBatchNorm(), proto, tolerance=2e-5)
    assert "BatchNormalization" not in op_types(model)
    if chosen["after"]:
        assert op_types(model) == [chosen["op_type"]]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (6,), (1, 6), (3, 1), ()])
def test_gemm(transposed: int, bias: tuple[int, ...] | None) -> None:
    constants = {"w": weights(*((6, 5) if transposed else (5, 6))), **norm_constants(6)}
    if bias is not None:
        constants["b"] = weights(*bias, seed=1)
    inputs = ["x", "w", *(["b"] if bias is not None else [])]
    gemm = helper.make_node("Gemm", inputs, ["v"], transB=transposed, alpha=0.7, beta=1.3)
    model, _ = check_pass(FoldBatchNorm(), model_of([gemm, norm_node("v", "y")], {"x": (3, 5)}, ["y"], constants))
    assert op_types(model) == ["Gemm"]


def test_norm_before_gemm() -> None:
    constants = {"w": weights(5, 6), **norm_constants(5)}
    gemm = helper.make_node("Gemm", ["v", "w"], ["y"], alpha=0.7)
    model, _ = check_pass(FoldBatchNorm(), model_of([norm_node("x", "v"), gemm], {"x": (3, 5)}, ["y"], constants))
    assert op_types(model) == ["Gemm"]


@pytest.mark.parametrize("bias", [(), (6,), (1, 6)])
def test_matmul_with_and_without_add(bias: tuple[int, ...]) -> None:
    constants = {"w": weights(5, 6), **norm_constants(6)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["v"], name="mm")]
    if bias:
        constants["b"] = weights(*bias, seed=2)
        nodes.append(helper.make_node("Add", ["b", "v"], ["a"], name="add"))
    nodes.append(norm_node("a" if bias else "v", "y"))
    model, _ = check_pass(FoldBatchNorm(), model_of(nodes, {"x": (3, 5)}, ["y"], constants))
    assert op_types(model) == ["Add", "MatMul"]


@pytest.mark.parametrize(
    ("op_type", "first"), [("Mul", True), ("Mul", False), ("Div", False), ("Add", True), ("Sub", False), ("Sub", True)]
)
def test_arithmetic_per_channel_after_a_convolution(op_type: str, first: bool) -> None:
    constants = {"w": weights(6, 3, 3, 3), "c": RNG(3).uniform(0.5, 2, (6, 1, 1)).astype(np.float32)}
    conv = helper.make_node("Conv", ["x", "w"], ["v"])
    other = helper.make_node(op_type, ["c", "v"] if first else ["v", "c"], ["y"])
    model, _ = check_pass(FoldBatchNorm(), model_of([conv, other], {"x": (1, 3, 6, 6)}, ["y"], constants))
    assert op_types(model) == ["Conv"]


def test_shared_weights_are_copied_not_changed() -> None:
    constants = {"w": weights(3, 3, 1, 1), **norm_constants(3)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["v"], name="first"),
        norm_node("v", "u"),
        helper.make_node("Conv", ["u", "w"], ["y"], name="second"),
    ]
    model, _ = check_pass(FoldBatchNorm(), model_of(nodes, {"x": (1, 3, 4, 4)}, ["y"], constants))
    assert op_types(model) == ["Conv", "Conv"]


def test_result_read_twice_becomes_mul_and_add_with_a_reason() -> None:
    constants = {"w": weights(3, 3, 1, 1), **norm_constants(3)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["v"], name="conv"),
        norm_node("v", "u"),
        helper.make_node("Add", ["u", "v"], ["y"], name="join"),
    ]
    model, result = check_pass(FoldBatchNorm(), model_of(nodes, {"x": (1, 3, 4, 4)}, ["y"], constants))
    assert op_types(model) == ["Add", "Add", "Conv", "Mul"]
    assert "read elsewhere" in result.skipped[0].reason


def test_padding_is_not_shifted() -> None:
    constants = {"w": weights(3, 3, 3, 3), **norm_constants(3)}
    nodes = [norm_node("x", "v"), helper.make_node("Conv", ["v", "w"], ["y"], pads=[1, 1, 1, 1])]
    model, _ = check_pass(FoldBatchNorm(), model_of(nodes, {"x": (1, 3, 5, 5)}, ["y"], constants))
    assert op_types(model) == ["Add", "Conv", "Mul"]


def test_training_mode_stays_with_a_reason() -> None:
    constants = norm_constants(3)
    names = ["x", "n_scale", "n_shift", "n_mean", "n_var"]
    node = helper.make_node("BatchNormalization", names, ["y", "m", "v"], training_mode=1, name="bn")
    proto = model_of([node], {"x": (4, 3, 5)}, ["y", "m", "v"], constants)
    _, result = check_pass(FoldBatchNorm(), proto)
    assert [(skip.node, skip.reason) for skip in result.skipped] == [("bn", "it is in training mode")]
    assert not result.modified
