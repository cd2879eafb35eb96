"""Made-up inputs are within what a model accepts, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from edgec.core.codes.model import INPUTS_UNKNOWN, REFERENCE_RUN, REFERENCE_TIMEOUT
from edgec.core.errors import EdgecError
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from tests.models import ALL_MODELS, GraphBuilder, byte_embedding_net, conv_net, detector_net, if_net, lstm_net


def model_of(proto: onnx.ModelProto) -> ir.Model:
    model = ir.from_proto(proto)
    infer_shapes(model)
    return model


@pytest.mark.parametrize("name", sorted(set(ALL_MODELS) - {"detector_net"}))
def test_every_model_runs_on_made_up_inputs(name: str) -> None:
    model = model_of(ALL_MODELS[name]())
    session = ReferenceSession(model)
    for sample in sample_inputs(model, 5, seed=3):
        assert all(np.isfinite(output).all() for output in session.run(sample).values())


def test_equal_seeds_give_equal_samples() -> None:
    model = model_of(byte_embedding_net())
    first, second, longer = sample_inputs(model, 2, 7), sample_inputs(model, 2, 7), sample_inputs(model, 4, 7)
    other = sample_inputs(model, 2, 8)
    for name in first[0]:
        np.testing.assert_array_equal(first[1][name], second[1][name])
        np.testing.assert_array_equal(first[1][name], longer[1][name])
    assert any((first[0][name] != other[0][name]).any() for name in first[0])


def test_indices_stay_below_the_table_and_use_all_of_it() -> None:
    samples = sample_inputs(model_of(byte_embedding_net(length=200)), 10, 0)
    drawn = np.concatenate([sample["bytes"].ravel() for sample in samples])
    assert drawn.dtype == np.int32
    assert drawn.min() >= 0
    assert 200 < drawn.max() < 256
    assert {int(sample["language"][0]) for sample in samples} <= set(range(5))


def test_sequence_lengths_are_from_one_to_the_longest() -> None:
    samples = sample_inputs(model_of(lstm_net(steps=7)), 20, 0)
    lengths = {int(length) for sample in samples for length in sample["lengths"]}
    assert lengths == set(range(1, 8))


def test_numbers_compared_with_a_constant_take_both_branches() -> None:
    samples = sample_inputs(model_of(if_net()), 2, 0)
    assert {int(sample["rate"]) == 16000 for sample in samples} == {True, False}


def test_indices_with_a_padding_constant_are_not_all_padding() -> None:
    g = GraphBuilder("padded", 17)
    tokens = g.input("tokens", (1, 50), TensorProto.INT64)
    rows = g.node("Gather", g.weight(30, 4), tokens)
    is_padding = g.node("Cast", g.node("Equal", tokens, g.constant(2, np.int64)), to=TensorProto.FLOAT)
    g.node("Mul", rows, g.unsqueeze(is_padding, 2), output="y")
    g.output("y", (1, 50, 4))
    tokens_drawn = sample_inputs(model_of(g.model()), 1, 0)[0]["tokens"]
    assert 2 in tokens_drawn
    assert len(set(tokens_drawn.ravel().tolist())) > 10
    assert tokens_drawn.max() < 30


def test_shifted_indices_respect_the_shift() -> None:
    g = GraphBuilder("shifted", 17)
    index = g.input("index", (40,), TensorProto.INT32)
    shifted = g.node("Sub", g.node("Cast", index, to=TensorProto.INT64), g.constant(100, np.int64))
    g.node("Gather", g.weight(9, 2), shifted, output="y")
    g.output("y", (40, 2))
    model = model_of(g.model())
    drawn = sample_inputs(model, 1, 0)[0]["index"]
    assert 100 <= drawn.min() <= drawn.max() <= 108
    ReferenceSession(model).run({"index": drawn})


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("bool", 0, 1)])
def test_narrow_types_use_their_range(dtype: str, low: int, high: int) -> None:
    g = GraphBuilder("narrow", 17)
    x = g.input("x", (5000,), getattr(TensorProto, dtype.upper()))
    g.node("Cast", x, to=TensorProto.FLOAT, output="y")
    g.output("y", (5000,))
    drawn = sample_inputs(model_of(g.model()), 1, 0)[0]["x"]
    assert (drawn.dtype, int(drawn.min()), int(drawn.max())) == (np.dtype(dtype), low, high)


def test_open_shapes_and_immense_ones_are_refused_with_the_option_to_give() -> None:
    with pytest.raises(EdgecError) as caught:
        sample_inputs(model_of(detector_net()), 1, 0)
    assert caught.value.code is INPUTS_UNKNOWN
    assert "--shape image=" in caught.value.hint
    assert sample_inputs(model_of(conv_net(batch="N")), 1, 0, batch=1)[0]["image"].shape == (1, 3, 16, 16)
    with pytest.raises(EdgecError) as caught:
        sample_inputs(model_of(detector_net(height=1 << 20, width=1 << 20)), 1, 0)
    assert "GiB" in caught.value.what


def test_onnx_runtime_errors_are_ours() -> None:
    session = ReferenceSession(model_of(conv_net()))
    for wrong in ({}, {"image": np.zeros((1, 3, 9, 9), np.float32)}, {"image": np.zeros((1, 3, 16, 16), np.int8)}):
        with pytest.raises(EdgecError) as caught:
            session.run(wrong)
        assert caught.value.code is REFERENCE_RUN
        assert "ONNXRuntimeError" not in caught.value.what
    model = model_of(conv_net())
    model.graph.node(0).domain = "acme"
    model.opset_imports["acme"] = 1
    with pytest.raises(EdgecError) as caught:
        ReferenceSession(model)
    assert caught.value.code is REFERENCE_RUN


def test_a_loop_without_end_is_stopped() -> None:
    proto = ALL_MODELS["loop_net"](trips=2**40)
    session = ReferenceSession(ir.from_proto(proto), seconds=0.3)
    with pytest.raises(EdgecError) as caught:
        session.run({"start": np.ones((1, 8), np.float32)})
    assert caught.value.code is REFERENCE_TIMEOUT
