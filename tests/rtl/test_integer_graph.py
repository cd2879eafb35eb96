"""A quantised ONNX network as integers computes what ONNX Runtime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantised_networks import Network, encoder, mlp, residual

from edgec.backends.rtl.integer_graph import Affine, Input, IntegerGraph, Requantised, intervals_of
from edgec.backends.rtl.recognition import integer_graph
from edgec.backends.rtl.rounding import with_halves_in_biases
from edgec.core.errors import EdgecError
from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession

SAMPLES = 1000


def _inputs(graph: IntegerGraph) -> np.ndarray:
    shape = (SAMPLES, *graph.inputs[0].shape[1:])
    return np.random.default_rng(1).normal(0, 1.5, shape).astype(np.float32)


def _results(model: onnx.ModelProto, folder: Path) -> tuple[IntegerGraph, np.ndarray, np.ndarray]:
    """The graph, its results, and those of ONNX Runtime."""
    onnx.save(model, folder / "network.onnx")
    loaded = load_model(folder / "network.onnx").model
    graph = integer_graph(loaded)
    x = _inputs(graph)
    session = ReferenceSession(loaded)
    expected = np.concatenate([next(iter(session.run({"x": row[None]}).values())) for row in x])
    got = graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]
    return graph, got.reshape(expected.shape), expected


@pytest.mark.parametrize(
    "model", [mlp(), encoder(), residual(), residual(size=8)], ids=["mlp", "encoder", "odd", "even"]
)
def test_powers_of_two_are_computed_bit_for_bit(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph, got, expected = _results(model, tmp_path)
    assert graph.exact
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("model", [mlp(power_of_two=False), residual(power_of_two=False)], ids=["mlp", "residual"])
def test_other_scales_are_computed_to_a_step_of_the_output(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph, got, expected = _results(model, tmp_path)
    assert not graph.exact
    assert np.abs(got - expected).max() <= 0.02 * np.ptp(expected)


@pytest.mark.parametrize("model", [mlp(), residual()], ids=["mlp", "residual"])
def test_no_value_leaves_its_interval(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph, _, _ = _results(model, tmp_path)
    values = graph.evaluate(graph.quantise_inputs([_inputs(graph)]))
    for value, interval in zip(values, intervals_of(graph), strict=True):
        assert (value >= interval.low).all()
        assert (value <= interval.high).all()


@given(st.integers(-(2**30), 2**30), st.integers(1, 2**18), st.integers(0, 24))
def test_requantisation_rounds_half_to_even(value: int, multiplier: int, shift: int) -> None:
    step = Requantised("n", "op", (0,), 1, np.array([multiplier]), shift, True, -(2**60), 2**60)
    exact = value * multiplier
    floor, rest = divmod(exact, 1 << shift)
    half = 1 << shift
    expected = floor + (2 * rest > half or (2 * rest == half and floor % 2 == 1))
    assert step.evaluate([np.array([[value]])])[0, 0] == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 8))
def test_random_networks_are_computed_bit_for_bit(seed: int, bits: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _, got, expected = _results(mlp((3, 5, 4, 2), bits=bits, seed=seed), Path(folder))
    np.testing.assert_array_equal(got, expected)


def test_a_network_that_is_not_quantised_is_refused_by_node(tmp_path: Path) -> None:
    net = Network()
    value = net.node("Gemm", ["x", net.constant(np.ones((4, 3), np.float32))])
    onnx.save(net.model(net.node("Softmax", [value]), (1, 4), (1, 3)), tmp_path / "network.onnx")
    with pytest.raises(EdgecError) as refusal:
        integer_graph(load_model(tmp_path / "network.onnx").model)
    assert refusal.value.code.code == "EC0401"
    assert refusal.value.code.status == 4
    assert "not quantised" in refusal.value.details[0]


def test_values_that_are_too_wide_are_refused_by_layer(tmp_path: Path) -> None:
    net = Network()
    value = net.quantised("x", 0, np.int16)
    for _ in range(4):
        value = net.node("MatMul", [value, net.weights((8, 8), 8, 0)])
    onnx.save(net.model(value, (1, 8), (1, 8)), tmp_path / "network.onnx")
    graph = integer_graph(load_model(tmp_path / "network.onnx").model)
    with pytest.raises(EdgecError, match="EC1101") as refusal:
        intervals_of(graph)
    assert "matmul" in refusal.value.where


def _qonnx(rounding: str) -> onnx.ModelProto:
    """A dense layer in the dialect of QONNX: 4 bits in, 3-bit weights, 5 bits out."""
    net = Network()

    def quant(value: str, scale: float, bits: int, *, signed: int = 1, narrow: int = 0, mode: str = "ROUND") -> str:
        parameters = [net.constant(np.array(each, np.float32)) for each in (scale, 0.0, bits)]
        domain = "qonnx.custom_op.general"
        return net.node("Quant", [value, *parameters], signed=signed, narrow=narrow, rounding_mode=mode, domain=domain)

    weights = net.constant(np.random.default_rng(0).normal(0, 0.5, (6, 3)).astype(np.float32))
    value = net.node("MatMul", [quant("x", 0.25, 4), quant(weights, 0.25, 3, narrow=1)])
    value = quant(net.node("Relu", [value]), 0.125, 5, signed=0, mode=rounding)
    return net.model(value, (1, 6), (1, 3))


@pytest.mark.parametrize(("rounding", "rounded"), [("ROUND", np.rint), ("FLOOR", np.floor)])
def test_qonnx_quantisers_follow_their_definition(rounding: str, rounded: np.ufunc, tmp_path: Path) -> None:
    model = _qonnx(rounding)
    onnx.save(model, tmp_path / "network.onnx")
    graph = integer_graph(load_model(tmp_path / "network.onnx", quantisers=True).model)
    x = np.random.default_rng(1).normal(0, 1.5, (SAMPLES, 6)).astype(np.float32)
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
    inner = np.clip(np.rint(x / 0.25), -8, 7) * 0.25 @ (np.clip(np.rint(weights / 0.25), -3, 3) * 0.25)
    expected = np.clip(rounded(np.maximum(inner, 0) / 0.125), 0, 31) * 0.125
    got = graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("model", [mlp(), encoder(), residual()], ids=["mlp", "encoder", "residual"])
def test_halves_in_biases_change_no_output(model: onnx.ModelProto, tmp_path: Path) -> None:
    graph, _, _ = _results(model, tmp_path)
    raised = with_halves_in_biases(graph)
    roundings = [operation for operation in raised.operations if isinstance(operation, Requantised)]
    assert any(operation.raised for operation in roundings)
    for inputs in (_inputs(graph), np.zeros_like(_inputs(graph))):
        given = graph.quantise_inputs([inputs])
        for border in graph.outputs:
            np.testing.assert_array_equal(raised.evaluate(given)[border.value], graph.evaluate(given)[border.value])


def test_a_sum_that_two_operations_read_keeps_its_bias() -> None:
    x = Input("x", "Input", (), 1, -8, 7)
    product = Affine("p", "Gemm", (0,), 1, np.array([[[3]]]), np.array([[1]]), np.array([[[0]]]), np.array([[[0]]]))
    rounded = [Requantised(name, "Quant", (1,), 1, np.array([1]), 2, True, -8, 7) for name in "ab"]
    graph = IntegerGraph((x, product, *rounded), (), (), exact=True)
    assert with_halves_in_biases(graph) == graph
