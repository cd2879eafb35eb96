"""Every input gets a static shape, or the error says what to give."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.passes import PassContext, PassResult
from edgec.passes.static_shapes import StaticShapes
from tests.passes.comparison import model_of


def run(
    inputs: dict[str, tuple[int | str | None, ...] | None], **shapes: tuple[int, ...]
) -> tuple[ir.Model, PassResult]:
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"], name=name) for name in inputs]
    proto = model_of(nodes, inputs, [f"{name}_out" for name in inputs])
    model = ir.serde.deserialize_model(proto)
    return model, StaticShapes(StaticShapes.Options(shapes=shapes)).run(model, PassContext())


def shapes_of(values: list[ir.Value]) -> list[tuple[int, ...]]:
    return [tuple(value.shape) for value in values]


def refusal(inputs: dict[str, tuple[int | str | None, ...] | None], **shapes: tuple[int, ...]) -> EdgecError:
    with pytest.raises(EdgecError) as caught:
        run(inputs, **shapes)
    assert caught.value.code.status is ExitStatus.USAGE
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("batch", ["batch", "?", None, -1, 0])
def test_open_batch_is_one_and_is_named(batch: int | str | None) -> None:
    model, result = run({"x": (batch, 3, 8)})
    assert shapes_of(model.graph.inputs) == [(1, 3, 8)]
    assert "axis 0 of x" in str(result.stats["set to 1"])


def test_same_name_follows_on_another_axis() -> None:
    model, _ = run({"x": ("batch", 4), "state": (2, "batch", 8)})
    assert shapes_of(model.graph.inputs) == [(1, 4), (2, 1, 8)]
    model, result = run({"x": ("batch", 4), "state": (2, "batch", 8)}, x=(5, 4))
    assert shapes_of(model.graph.outputs) == [(5, 4), (2, 5, 8)]
    assert "set to 1" not in result.stats


def test_anonymous_dimensions_need_not_be_equal() -> None:
    model, _ = run({"x": (-1, 3, "?", "?")}, x=(2, 3, 48, 192))
    assert shapes_of(model.graph.inputs) == [(2, 3, 48, 192)]


def test_error_lists_every_open_dimension_with_a_line_to_give() -> None:
    error = refusal({"image": ("N", 3, "height", "width"), "tokens": (1, "length")})
    assert error.code.code == "EC0310"
    assert len(error.details) == 3
    assert all(name in " ".join(error.details) for name in ("height", "width", "length", "axis 2", "axis 3", "tokens"))
    assert "--shape image=1,3,<height>,<width>" in error.hint
    assert "--shape tokens=1,<length>" in error.hint


def test_unknown_rank() -> None:
    assert refusal({"x": None}).code.code == "EC0313"
    model, _ = run({"x": None}, x=(2, 3))
    assert shapes_of(model.graph.outputs) == [(2, 3)]


@pytest.mark.parametrize(
    "shapes",
    [
        {"x": (1, 4, 8)},
        {"x": (1, 3)},
        {"x": (0, 3, 8)},
        {"x": (-1, 3, 8)},
        {"x": (2, 3, 8), "z": (3, 4)},
    ],
)
def test_contradictions(shapes: dict[str, tuple[int, ...]]) -> None:
    assert refusal({"x": ("b", 3, "w"), "z": ("b", 4)}, **shapes).code.code == "EC0312"


def test_unknown_name_lists_the_inputs() -> None:
    error = refusal({"x": ("b", 3)}, image=(1, 3))
    assert error.code.code == "EC0311"
    assert "x [b, 3]" in error.hint


def test_sequence_input_is_unsupported() -> None:
    value = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    node = helper.make_node("SequenceLength", ["s"], ["n"])
    output = helper.make_tensor_value_info("n", TensorProto.INT64, ())
    proto = helper.make_model(helper.make_graph([node], "g", [value], [output]))
    with pytest.raises(EdgecError) as caught:
        StaticShapes().run(ir.serde.deserialize_model(proto), PassContext())
    assert caught.value.code.status is ExitStatus.UNSUPPORTED


def test_stale_inner_shapes_are_inferred_again() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["v"]), helper.make_node("Neg", ["v"], ["y"])]
    proto = model_of(nodes, {"x": ("batch", 4)}, ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, (7, 4)))
    model = ir.serde.deserialize_model(proto)
    StaticShapes().run(model, PassContext())
    assert shapes_of([node.outputs[0] for node in model.graph]) == [(1, 4), (1, 4)]


def test_values_carried_by_a_loop_keep_their_shape() -> None:
    body = helper.make_graph(
        [helper.make_node("Neg", ["c"], ["c_out"]), helper.make_node("Identity", ["go"], ["go_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c_out", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)
    proto = model_of([loop], {"x": ("batch", 4)}, ["y"], {"trips": np.array(3)})
    model = ir.serde.deserialize_model(proto)
    StaticShapes().run(model, PassContext())
    inner = next(iter(model.graph)).attributes["body"].as_graph()
    assert tuple(inner.inputs[2].shape) == (1, 4)
