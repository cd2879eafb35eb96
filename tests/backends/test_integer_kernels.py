"""Quantized convolutions and products, bit for bit against numpy, over shapes, types, zero points and cores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integer_cores import runnable_cores
from kernel_evaluator import Kernels
from onnx import TensorProto
from quantized_reference import Array, Scheme, convolution_sums, factor_of, requantize

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.integer.recognition import form_integer_nodes
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")

CORES = runnable_cores()
TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


def formed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in integer form; every node but the first and last conversions must have one."""
    form = form_integer_nodes(ir.from_proto(model))
    assert form.floats == ()
    return ir.to_proto(form.model)


def random_integers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def parameters(g: GraphBuilder, scheme: Scheme) -> tuple[str, str]:
    return g.constant(scheme.scale), g.constant(scheme.zero_point, scheme.dtype)


def dequantized_input(g: GraphBuilder, name: str, shape: tuple[int, ...], scheme: Scheme) -> str:
    return g.node("DequantizeLinear", g.input(name, shape, TYPES[scheme.dtype]), *parameters(g, scheme))


def quantized_output(g: GraphBuilder, x: str, scheme: Scheme, shape: tuple[int, ...]) -> None:
    g.node("QuantizeLinear", x, *parameters(g, scheme), output="y")
    g.output("y", shape, TYPES[scheme.dtype])


@dataclass(frozen=True)
class Case:
    """A quantized convolution in QDQ form."""

    channels: tuple[int, int]
    groups: int
    extents: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    x: Scheme
    weights: str
    weights_zero_point: int
    per_channel: bool
    bias: bool
    result: Scheme
    activation: str
    dilations: tuple[int, int] = (1, 1)


@st.composite
def schemes(draw: st.DrawFn, scale: float) -> Scheme:
    dtype = draw(st.sampled_from(("uint8", "int8")))
    limits = np.iinfo(dtype)
    return Scheme(scale, draw(st.integers(limits.min, limits.max)), dtype)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(("dense", "dense", "dense", "depthwise", "grouped")))
    groups = {"dense": 1, "depthwise": draw(st.integers(2, 20)), "grouped": draw(st.integers(2, 4))}[kind]
    inputs = groups * (1 if kind == "depthwise" else draw(st.integers(1, 24)))
    outputs = groups * (1 if kind == "depthwise" else draw(st.integers(1, 24)))
    kernel = draw(st.sampled_from(((1, 1), (3, 3), (1, 5), (2, 3))))
    signed = draw(st.booleans())
    return Case(
        channels=(inputs, outputs),
        groups=groups,
        extents=(draw(st.integers(5, 19)), draw(st.integers(5, 19))),
        kernel=kernel,
        strides=draw(st.sampled_from(((1, 1), (2, 2), (1, 2)))),
        pads=draw(st.sampled_from(((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0)))),
        x=draw(schemes(0.02)),
        weights="int8" if signed else "uint8",
        weights_zero_point=draw(st.sampled_from((0, 0, 3))) if signed else draw(st.sampled_from((128, 117))),
        per_channel=draw(st.booleans()),
        bias=draw(st.booleans()),
        result=draw(schemes(0.35)),
        activation=draw(st.sampled_from(("", "Relu", "Clip"))),
    )


def convolution_model(case: Case, random: np.random.Generator) -> tuple[onnx.ModelProto, Array, Array]:
    """The model, its input and the output expected of it."""
    g = GraphBuilder("quantized", 17)
    inputs, outputs = case.channels
    x = random_integers(random, (1, inputs, *case.extents), case.x.dtype)
    weights = random_integers(random, (outputs, inputs // case.groups, *case.kernel), case.weights)
    count = outputs if case.per_channel else 1
    scales = np.linspace(0.003, 0.02, count, dtype=np.float32)
    points = np.full(count, case.weights_zero_point, case.weights)
    shape = (count,) if case.per_channel else ()
    stated = [g.constant(weights, case.weights), g.constant(scales.reshape(shape))]
    if case.weights_zero_point or case.per_channel:
        stated.append(g.constant(points.reshape(shape), case.weights))
    operands = [dequantized_input(g, "x", x.shape, case.x), g.node("DequantizeLinear", *stated, axis=0)]
    bias = random.normal(0, 2, outputs).astype(np.float32)
    if case.bias:
        operands.append(g.constant(bias))
    attributes = {"strides": case.strides, "pads": case.pads, "dilations": case.dilations, "group": case.groups}
    y = g.node("Conv", *operands, **attributes)
    if case.activation == "Relu":
        y = g.node("Relu", y)
    elif case.activation:
        y = g.clip(y, -1.0, 6.0)
    centred = weights.astype(np.int64) - case.weights_zero_point
    sums = convolution_sums(
        x.astype(np.int64) - case.x.zero_point,
        centred,
        strides=case.strides,
        pads=case.pads,
        groups=case.groups,
        dilations=case.dilations,
    )
    if case.bias:
        steps = np.rint(bias / (np.float32(case.x.scale) * scales)).astype(np.int64)
        sums = sums + steps[:, None, None]
    factor = np.broadcast_to(factor_of(case.x, scales, case.result), (outputs,))
    expected = requantize(sums, factor[:, None, None], case.result)
    low, high = {"": (-np.inf, np.inf), "Relu": (0.0, np.inf), "Clip": (-1.0, 6.0)}[case.activation]
    limits = case.result.quantize(np.array([low, high], np.float32))
    quantized_output(g, y, case.result, expected.shape)
    return g.model(), x, np.clip(expected, *limits)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases(), name=st.sampled_from(sorted(CORES)), seed=st.integers(0, 999))
def test_quantized_convolutions_are_exact(case: Case, name: str, seed: int) -> None:
    model, x, expected = convolution_model(case, np.random.default_rng(seed))
    kernels = Kernels(formed(model), CORES[name])
    assert kernels.fallbacks == []
    np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)


@pytest.mark.parametrize(
    ("dtype", "channels", "window", "strides", "pads", "dilations", "threads"),
    [
        ("uint8", 96, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1), 1),
        ("int8", 48, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 2),
        ("uint8", 32, (3, 7), (1, 1), (0, 3, 1, 1), (1, 1), 1),
        ("uint8", 48, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 2),
        ("int8", 32, (5, 5), (2, 1), (2, 2, 2, 2), (1, 1), 1),
        ("uint8", 16, (1, 5), (1, 2), (0, 2, 0, 2), (1, 1), 1),
    ],
)
def test_depthwise_convolutions_add_up_taps_exactly(
    dtype: str,
    channels: int,
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    threads: int,
) -> None:
    scheme = Scheme(0.02, 3, dtype)
    given = ((channels, channels), channels, (13, 19), window, strides, pads)
    case = Case(*given, scheme, "int8", 0, True, True, Scheme(0.35, -1 if dtype == "int8" else 7, dtype), "", dilations)
    model, x, expected = convolution_model(case, np.random.default_rng(channels))
    for core in CORES.values():
        kernels = Kernels(formed(model), core, threads)
        assert kernels.fallbacks == []
        np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)


@pytest.mark.parametrize(
    ("dtype", "channels", "window", "strides", "pads", "threads"),
    [
        ("uint8", 3, (3, 3), (2, 2), (1, 1, 1, 1), 2),
        ("int8", 3, (7, 7), (2, 2), (3, 3, 3, 3), 1),
        ("uint8", 1, (5, 5), (1, 1), (0, 0, 0, 0), 1),
        ("uint8", 3, (4, 4), (4, 4), (0, 0, 0, 0), 1),
        ("int8", 6, (3, 2), (1, 3), (0, 1, 2, 0), 1),
    ],
)
def test_first_layers_read_their_rows_as_runs_exactly(
    dtype: str,
    channels: int,
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    threads: int,
) -> None:
    scheme = Scheme(0.02, 3, dtype)
    given = ((channels, 32), 1, (21, 45), window, strides, pads)
    case = Case(*given, scheme, "int8", 0, True, True, Scheme(0.35, 5, dtype), "Relu")
    model, x, expected = convolution_model(case, np.random.default_rng(channels))
    for core in CORES.values():
        kernels = Kernels(formed(model), core, threads)
        assert kernels.fallbacks == []
        np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)


@pytest.mark.parametrize("scale", [2e-9, 0.02])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_sums_saturate_whatever_their_scale(dtype: str, scale: float) -> None:
    """Small scales of the output make factors that no conversion to int32 survives."""
    result = Scheme(scale, 7, dtype)
    case = Case(
        (64, 32), 1, (5, 5), (3, 3), (1, 1), (0, 0, 0, 0), Scheme(0.02, 3, dtype), "int8", 0, True, True, result, ""
    )
    model, x, expected = convolution_model(case, np.random.default_rng(0))
    for core in CORES.values():
        np.testing.assert_array_equal(Kernels(formed(model), core).run({"x": x})[0], expected)


def product_model(
    rows: tuple[int, ...], depth: int, columns: int, x: Scheme, random: np.random.Generator, *, gemm: bool
) -> tuple[onnx.ModelProto, Array, Array]:
    g = GraphBuilder("quantized", 17)
    result = Scheme(0.7, 9, x.dtype)
    left = random_integers(random, (*rows, depth), x.dtype)
    weights = random_integers(random, (depth, columns), "int8")
    scales = np.linspace(0.003, 0.02, columns, dtype=np.float32)
    given_weights = weights.T if gemm else weights
    right = g.node(
        "DequantizeLinear",
        *(g.constant(given_weights, np.int8), g.constant(scales), g.constant(np.zeros(columns), np.int8)),
        axis=0 if gemm else 1,
    )
    operands = [dequantized_input(g, "x", left.shape, x), right]
    sums = (left.astype(np.int64) - x.zero_point) @ weights.astype(np.int64)
    if gemm:
        bias = random.integers(-3000, 3000, columns)
        steps = np.float32(x.scale) * scales
        operands.append(g.node("DequantizeLinear", g.constant(bias, np.int32), g.constant(steps), axis=0))
        sums = sums + bias
    y = g.node("Gemm", *operands, transB=1) if gemm else g.node("MatMul", *operands)
    quantized_output(g, y, result, sums.shape)
    return g.model(), left, requantize(sums, factor_of(x, scales, result), result)


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.sampled_from(((1,), (7,), (23,), (2, 5))),
    depth=st.integers(1, 70),
    columns=st.integers(1, 40),
    scheme=schemes(0.02),
    name=st.sampled_from(sorted(CORES)),
    gemm=st.booleans(),
)
def test_quantized_products_are_exact(
    rows: tuple[int, ...], depth: int, columns: int, scheme: Scheme, name: str, gemm: bool
) -> None:
    gemm = gemm and len(rows) == 1
    random = np.random.default_rng(depth * columns)
    model, x, expected = product_model(rows, depth, columns, scheme, random, gemm=gemm)
    kernels = Kernels(formed(model), CORES[name])
    assert kernels.fallbacks == []
    np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
def test_dot_product_instructions_are_used_where_the_core_has_them(core: CoreDescription) -> None:
    plain = Scheme(0.02, 3, "uint8")
    case = Case((32, 64), 1, (14, 14), (3, 3), (1, 1), (1, 1, 1, 1), plain, "int8", 0, True, True, plain, "Relu")
    model, x, expected = convolution_model(case, np.random.default_rng(0))
    kernels = Kernels(formed(model), core)
    np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)
    wanted = {"vnni": "vpdpbusd", "sdot": "sdot"}.get(core.dot_product, "pmadd" if core.multiplies_pairs else "")
    assert wanted in str(kernels.scheduled)
