"""Weights of four and two bits: small in the artefact, and bit for bit what numpy computes with them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_cores import runnable_cores
from kernel_evaluator import Kernels
from onnx import TensorProto
from quantized_reference import Array, Scheme, convolution_sums, factor_of, requantize

from edgec.backends.tvm.backend import TvmBackend
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.integer.narrow_weights import pack_bits
from edgec.backends.tvm.integer.recognition import form_integer_nodes
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")

CORES = runnable_cores()
X = Scheme(0.02, 5, "uint8")
Y = Scheme(0.05, 100, "uint8")


SHAPES = {"dense": (64, 64, 1), "grouped": (96, 96, 2), "depthwise": (256, 256, 256)}
"""Output channels, input channels, groups: enough weights to be worth packing."""


def narrow_convolution(bits: int, kind: str, storage: str) -> tuple[onnx.ModelProto, Array, Array]:
    """A convolution with weights of a few bits, stored in some type; its input and its output."""
    random = np.random.default_rng(bits)
    outputs, inputs, groups = SHAPES[kind]
    x = random.integers(0, 255, (1, inputs, 7, 6), endpoint=True).astype(np.uint8)
    weights = random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (outputs, inputs // groups, 3, 3))
    scales = np.linspace(0.003, 0.02, outputs, dtype=np.float32)
    centred = x.astype(np.int64) - X.zero_point
    sums = convolution_sums(centred, weights, strides=(1, 1), pads=(0, 0, 0, 0), groups=groups)
    expected = requantize(sums, factor_of(X, scales, Y)[:, None, None], Y)
    g = GraphBuilder("narrow", 25)
    image = g.input("x", x.shape, TensorProto.UINT8)
    real = g.node("DequantizeLinear", image, g.constant(X.scale), g.constant(X.zero_point, "uint8"))
    stated = g.constant(weights, {"int8": np.int8, "int4": ml_dtypes.int4, "int2": ml_dtypes.int2}[storage])
    y = g.node("Conv", real, g.node("DequantizeLinear", stated, g.constant(scales), axis=0), group=groups)
    g.node("QuantizeLinear", y, g.constant(Y.scale), g.constant(Y.zero_point, "uint8"), output="y")
    g.output("y", expected.shape, TensorProto.UINT8)
    return g.model(), x, expected


@given(st.sampled_from((2, 4)), st.lists(st.integers(-8, 7), min_size=1, max_size=400))
def test_every_element_has_its_bits(bits: int, numbers: list[int]) -> None:
    weights = np.clip(numbers, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    packed = pack_bits(weights, bits).astype(np.int64)
    fields = np.concatenate([packed >> shift & 2**bits - 1 for shift in range(0, 8, bits)])[: weights.size]
    np.testing.assert_array_equal(np.where(fields >= 2 ** (bits - 1), fields - 2**bits, fields), weights)


@pytest.mark.parametrize("core", CORES.values(), ids=list(CORES))
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("bits", [2, 4])
def test_narrow_weights_are_exact(core: CoreDescription, kind: str, bits: int) -> None:
    model, x, expected = narrow_convolution(bits, kind, "int8")
    form = form_integer_nodes(ir.from_proto(model))
    assert form.floats == ()
    kernels = Kernels(ir.to_proto(form.model), core)
    assert kernels.fallbacks == []
    assert [group.anchor.op for group in kernels.groups].count("UnpackWeights") == 1
    np.testing.assert_array_equal(kernels.run({"x": x})[0], expected)


@pytest.mark.parametrize(("bits", "storage"), [(8, "int8"), (4, "int8"), (4, "int4"), (2, "int8"), (2, "int2")])
def test_the_artefact_holds_packed_weights(bits: int, storage: str) -> None:
    model = onnx.shape_inference.infer_shapes(narrow_convolution(bits, "dense", storage)[0])
    plan = TvmBackend().plan(ir.from_proto(model), load_target("host"), name="net", threads=1, progress=Silent())
    others = 64 * (4 + 4)
    assert plan.memory.weights_bytes == 64 * 64 * 9 * bits // 8 + others
