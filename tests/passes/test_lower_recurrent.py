"""LSTM, GRU and RNN spelled out compute what ONNX Runtime's own kernels compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgec.core.passes import PassContext
from edgec.passes.lower_recurrent import LowerRecurrent
from edgec.passes.shape_inference import infer_shapes
from tests.passes.comparison import assert_same, check_pass, model_of, op_types, outputs_of, prepared

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}


def recurrent_model(
    kind: str,
    *,
    direction: str = "forward",
    steps: int = 4,
    batch: int = 2,
    features: int = 3,
    hidden: int = 5,
    opset: int = 17,
    bias: bool = True,
    initial: bool = False,
    peepholes: bool = False,
    lengths: str | list[int] = "",
    outputs: tuple[bool, bool, bool] = (True, True, True),
    **attributes: Any,
) -> onnx.ModelProto:
    generator = np.random.default_rng(1)
    directions = 2 if direction == "bidirectional" else 1
    gates = GATES[kind]

    def weights(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) * 0.5).astype(np.float32)

    constants = {"W": weights(directions, gates * hidden, features), "R": weights(directions, gates * hidden, hidden)}
    inputs: dict[str, tuple[int, ...]] = {"x": (steps, batch, features)}
    names = ["x", "W", "R", "", "", "", "", ""]
    if bias:
        constants["B"], names[3] = weights(directions, 2 * gates * hidden), "B"
    if lengths == "computed":
        inputs["lengths"], names[4] = (batch,), "lengths"
    elif lengths:
        constants["lengths"], names[4] = np.array(lengths, np.int32), "lengths"
    if initial:
        inputs["h0"], names[5] = (directions, batch, hidden), "h0"
        if kind == "LSTM":
            inputs["c0"], names[6] = (directions, batch, hidden), "c0"
    if peepholes and kind == "LSTM":
        constants["P"], names[7] = weights(directions, 3 * hidden), "P"
    names = names if kind == "LSTM" else names[:6]
    made = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    made = [name if wanted else "" for name, wanted in zip(made, outputs, strict=False)]
    node = helper.make_node(kind, names, made, name="cell", hidden_size=hidden, direction=direction, **attributes)
    kinds = {"lengths": TensorProto.INT32}
    return model_of([node], inputs, [name for name in made if name], constants, opset=opset, types=kinds)


def feeds_for(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(2)
    feeds: dict[str, np.ndarray] = {}
    for value in proto.graph.input:
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if value.name == "lengths":
            steps = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value
            feeds[value.name] = generator.integers(1, steps + 1, shape).astype(np.int32)
        else:
            feeds[value.name] = generator.standard_normal(shape).astype(np.float32)
    return feeds


BOUNDED = st.sampled_from(["Sigmoid", "Tanh", "Softsign", "HardSigmoid"])
"""For gates: an unbounded gate lets the states of GRU and LSTM grow until rounding decides, in any implementation."""

ANY_FUNCTION = st.one_of(BOUNDED, st.sampled_from(["Relu", "LeakyRelu", "Elu", "Softplus"]))


@st.composite
def settings_of_a_cell(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(GATES)))
    steps, batch = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    chosen: dict[str, Any] = {"kind": kind, "steps": steps, "batch": batch, "direction": direction}
    chosen["opset"] = draw(st.sampled_from([9, 11, 12, 13, 14, 18, 21, 22]))
    chosen["bias"], chosen["initial"] = draw(st.booleans()), draw(st.booleans())
    if draw(st.booleans()):
        chosen["clip"] = draw(st.sampled_from([0.2, 0.7, 3.0]))
    if draw(st.booleans()):
        gates = [BOUNDED] if kind != "RNN" else []
        one_direction = [*gates, *[ANY_FUNCTION] * (FUNCTIONS[kind] - len(gates))]
        functions = one_direction * (2 if direction == "bidirectional" else 1)
        chosen["activations"] = [draw(function) for function in functions]
    if draw(st.booleans()):
        each = st.integers(1, steps)
        constant = st.lists(each, min_size=batch, max_size=batch)
        chosen["lengths"] = draw(st.one_of(st.just("computed"), constant))
    if kind == "GRU":
        chosen["linear_before_reset"] = draw(st.integers(0, 1))
    if kind == "LSTM":
        chosen["peepholes"] = draw(st.booleans())
        chosen["input_forget"] = draw(st.integers(0, 1))
    outputs = st.tuples(st.booleans(), st.booleans(), st.booleans())
    chosen["outputs"] = draw(outputs.filter(lambda wanted: any(wanted[: 3 if kind == "LSTM" else 2])))
    return chosen


@settings(max_examples=200, deadline=None, derandomize=True)
@given(settings_of_a_cell())
def test_any_cell_computes_the_same(chosen: dict[str, Any]) -> None:
    proto = recurrent_model(**chosen)
    model, result = check_pass(LowerRecurrent(), proto, feeds_for(proto))
    assert result.stats["lowered"] == 1
    assert not {"LSTM", "GRU", "RNN"} & set(op_types(model))


@pytest.mark.parametrize("kind", sorted(GATES))
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_batch_first_layout_is_the_transposed_one(kind: str, direction: str) -> None:
    # ONNX Runtime has no kernel for layout 1: the same weights are run in layout 0, with the inputs transposed.
    options = {"direction": direction, "initial": True}
    proto = recurrent_model(kind, **options)
    feeds = feeds_for(proto)
    expected = outputs_of(proto, feeds)
    proto.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for value in proto.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        dimensions[0].dim_value, dimensions[1].dim_value = dimensions[1].dim_value, dimensions[0].dim_value
    model = prepared(proto)
    assert LowerRecurrent().run(model, PassContext()).stats["lowered"] == 1
    actual = outputs_of(model, {name: array.swapaxes(0, 1).copy() for name, array in feeds.items()})
    wanted = [expected[0].transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in expected[1:])]
    assert_same(wanted, actual)


@pytest.mark.parametrize(("function", "alpha", "beta"), [("Affine", 0.4, 0.3), ("ScaledTanh", 0.6, 1.4)])
def test_functions_with_parameters(function: str, alpha: float, beta: float) -> None:
    proto = recurrent_model("RNN", activations=[function], activation_alpha=[alpha], activation_beta=[beta])
    check_pass(LowerRecurrent(), proto, feeds_for(proto))


def test_function_with_disputed_default_stays_with_a_reason() -> None:
    proto = recurrent_model("RNN", activations=["Affine"])
    _, result = check_pass(LowerRecurrent(), proto, feeds_for(proto))
    assert result.skipped[0].node == "cell"
    assert "Affine" in result.skipped[0].reason


@pytest.mark.parametrize("kind", sorted(GATES))
def test_weights_computed_at_run_time(kind: str) -> None:
    proto = recurrent_model(kind, direction="bidirectional", peepholes=True)
    for initializer in list(proto.graph.initializer):
        shape = tuple(initializer.dims)
        proto.graph.input.append(helper.make_tensor_value_info(initializer.name, TensorProto.FLOAT, shape))
    del proto.graph.initializer[:]
    check_pass(LowerRecurrent(), proto, feeds_for(proto))


@pytest.mark.parametrize(("kind", "before_reset", "products"), [("LSTM", 0, 1), ("GRU", 1, 1), ("GRU", 0, 2)])
def test_the_loop_holds_few_products(kind: str, before_reset: int, products: int) -> None:
    attributes = {"linear_before_reset": before_reset} if kind == "GRU" else {}
    proto = recurrent_model(kind, **attributes)
    model, _ = check_pass(LowerRecurrent(), proto, feeds_for(proto))
    scan = next(node for node in model.graph if node.op_type == "Scan")
    body = scan.attributes["body"].as_graph()
    assert sum(node.op_type == "MatMul" for node in body) == products
    assert all(str(node.name).startswith("cell") for node in (*model.graph, *body))


def test_one_step_needs_no_loop() -> None:
    proto = recurrent_model("LSTM", steps=1, initial=True)
    model, _ = check_pass(LowerRecurrent(), proto, feeds_for(proto))
    assert "Scan" not in op_types(model)


def test_lengths_of_the_whole_sequence_need_no_mask() -> None:
    proto = recurrent_model("GRU", lengths=[4, 4])
    model, _ = check_pass(LowerRecurrent(), proto, feeds_for(proto))
    assert "Where" not in op_types(model)


def test_open_shape_stays_with_a_reason() -> None:
    proto = recurrent_model("LSTM")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "steps"
    model = ir.serde.deserialize_model(proto)
    infer_shapes(model)
    result = LowerRecurrent().run(model, PassContext())
    assert not result.modified
    assert "not static" in result.skipped[0].reason
