"""Quantizers agree with ONNX's operators bit for bit, and plans are written as they were meant."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.core.errors import EdgecError
from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.graph.reference import ReferenceSession
from tests.models.builder import GraphBuilder


def network(opset: int = 17) -> ir.Model:
    """Two convolutions with a Relu between them."""
    g = GraphBuilder("pair", opset, 3)
    image = g.input("image", (1, 3, 8, 8))
    hidden = g.node("Relu", g.node("Conv", image, g.weight(4, 3, 3, 3), g.weight(4), pads=[1, 1, 1, 1]))
    g.output(g.node("Conv", hidden, g.weight(5, 4, 1, 1), g.weight(5)), (1, 5, 8, 8))
    return ir.from_proto(g.model())


def weights_of(node: ir.Node, bits: int, *, power_of_two: bool = False) -> QuantizedWeights:
    contents = node.inputs[1].const_value.numpy()
    largest = np.abs(contents).max(axis=(1, 2, 3))
    quantizer = Quantizer.symmetric(largest, bits=bits, axis=0, power_of_two=power_of_two)
    return QuantizedWeights(quantizer, quantizer.quantize(contents))


def plan_for(
    model: ir.Model, *, bits: int = 8, activation_bits: int = 8, power_of_two: bool = False
) -> QuantizationPlan:
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    relu = next(node for node in model.graph if node.op_type == "Relu")
    values = {
        "image": Quantizer.asymmetric(-3, 3, bits=activation_bits, power_of_two=power_of_two),
        relu.outputs[0].name: Quantizer.asymmetric(0, 4, bits=activation_bits, power_of_two=power_of_two),
        model.graph.outputs[0].name: Quantizer.symmetric(4.0, bits=8, power_of_two=power_of_two),
    }
    weights = {node.name: weights_of(node, bits, power_of_two=power_of_two) for node in convolutions}
    return QuantizationPlan(values, weights)


def run(model: ir.Model) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    return next(iter(ReferenceSession(model).run({"image": image}).values()))


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(2.0**-20, 1024.0, width=32),
    zero_point=st.integers(0, 255),
    signed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_quantizers_equal_the_operators_of_onnx(scale: float, zero_point: int, signed: bool, seed: int) -> None:
    zero = zero_point - 128 if signed else zero_point
    quantizer = Quantizer(np.asarray(scale, np.float32), np.asarray(zero), 8, signed)
    numbers = (np.random.default_rng(seed).normal(size=300) * scale * 100).astype(np.float32)
    numbers[::7] = (np.arange(numbers[::7].size) - 20.5).astype(np.float32) * np.float32(scale)
    g = GraphBuilder("pair", 17, 0)
    x = g.input("x", (300,))
    g.output(g.node("Relu", x), (300,))
    model = ir.from_proto(g.model())
    written = write_quantization(model, QuantizationPlan({"x": quantizer}))
    got = next(iter(ReferenceSession(written).run({"x": numbers}).values()))
    assert np.array_equal(got, np.maximum(quantizer.round_trip(numbers), 0))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_both_dialects_compute_the_same(bits: int) -> None:
    model = network()
    plan = plan_for(model, bits=bits, activation_bits=bits, power_of_two=True)
    qdq = run(write_quantization(model.clone(), plan))
    qonnx = run(write_quantization(model.clone(), plan, dialect=Dialect.QONNX))
    assert np.array_equal(qdq, qonnx)


def test_the_sum_is_that_of_the_integers() -> None:
    model = network()
    plan = plan_for(model, bits=4, activation_bits=4, power_of_two=True)
    written = write_quantization(model, plan)
    assert len(np.unique(run(written) / plan.values[model.graph.outputs[0].name].scale)) <= 255
    names = [node.op_type for node in written.graph]
    assert names.count("QuantizeLinear") == 3
    assert names.count("Clip") == 3, "four-bit activations and the narrow output are kept in their range"


@pytest.mark.parametrize("opset", [11, 13, 21, 23])
def test_opsets(opset: int) -> None:
    model = network(opset)
    real = run(model)
    quantized = run(write_quantization(model, plan_for(model)))
    assert np.max(np.abs(real - quantized)) < 0.2


def test_four_bit_types_hold_the_same_numbers() -> None:
    model = network()
    plan = plan_for(model, bits=4)
    wide = write_quantization(model.clone(), plan)
    narrow = write_quantization(model.clone(), plan, four_bit_types=True)
    assert narrow.opset_imports[""] == 21
    types = {value.dtype for value in narrow.graph.initializers.values()}
    assert ir.DataType.INT4 in types
    assert np.array_equal(run(wide), run(narrow))


def test_one_bit_is_minus_one_and_plus_one() -> None:
    quantizer = Quantizer.symmetric(0.5, bits=1)
    assert quantizer.round_trip(np.array([-3.0, 0.0, 0.1], np.float32)).tolist() == [-0.5, 0.5, 0.5]
    model = network()
    plan = plan_for(model)
    hidden = next(node for node in model.graph if node.op_type == "Relu").outputs[0].name
    bipolar = QuantizationPlan({**plan.values, hidden: quantizer}, plan.weights)
    assert np.isfinite(run(write_quantization(model.clone(), bipolar, dialect=Dialect.QONNX))).all()
    with pytest.raises(EdgecError) as caught:
        write_quantization(model, bipolar)
    assert caught.value.code.code == "EC0341"


def test_the_output_keeps_its_name() -> None:
    model = network()
    name = model.graph.outputs[0].name
    written = write_quantization(model, plan_for(model))
    assert written.graph.outputs[0].name == name
    assert written.graph.outputs[0].producer().op_type == "DequantizeLinear"


def test_a_name_that_the_model_lacks_is_an_error() -> None:
    plan = QuantizationPlan({"nothing": Quantizer.symmetric(1.0)})
    with pytest.raises(EdgecError, match="nothing"):
        write_quantization(network(), plan)


def test_scales_must_fit_their_axis() -> None:
    with pytest.raises(EdgecError):
        Quantizer(np.ones(3, np.float32), np.zeros(3, np.int64))
