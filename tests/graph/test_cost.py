"""Costs against numbers counted by hand, and against the sum of their parts."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgec.graph.cost import model_size, node_costs, peak_activation_memory
from edgec.graph.shapes import infer_shapes, open_dimensions
from tests.models import ALL_MODELS, GraphBuilder, conv_net, detector_net, if_net, loop_net, scan_net


def model_of(proto: object) -> ir.Model:
    model = ir.from_proto(proto)  # type: ignore[call-overload]
    infer_shapes(model)
    return model  # type: ignore[no-any-return]


def macs_of(*args: object, op: str, shapes: list[list[int]], **attributes: object) -> int | None:
    """Multiply-accumulates of one operator on float inputs of the given shapes."""
    names = [f"i{position}" for position in range(len(shapes))]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], "g", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    return node_costs(model_of(model))[0].macs


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "expected"),
    [
        ("Conv", [[1, 3, 8, 8], [16, 3, 3, 3]], {"pads": [1] * 4}, 8 * 8 * 16 * 3 * 9),
        ("Conv", [[2, 8, 6], [8, 1, 3]], {"group": 8}, 2 * 4 * 8 * 3),
        ("ConvTranspose", [[1, 4, 5, 5], [4, 2, 2, 2]], {"strides": [2, 2]}, 5 * 5 * 4 * 2 * 4),
        ("Gemm", [[7, 2], [7, 5]], {"transA": 1}, 2 * 7 * 5),
        ("MatMul", [[3, 4, 5], [5, 6]], {}, 3 * 4 * 5 * 6),
        ("MatMul", [[5], [5]], {}, 5),
        ("LSTM", [[7, 2, 4], [1, 24, 4], [1, 24, 6]], {"hidden_size": 6}, 7 * 2 * 24 * 10),
        ("GRU", [[7, 2, 4], [1, 18, 4], [1, 18, 6]], {"hidden_size": 6}, 7 * 2 * 18 * 10),
        ("Einsum", [[2, 3, 4], [2, 4, 5]], {"equation": "bij,bjk->bik"}, 2 * 3 * 4 * 5),
        ("Einsum", [[2, 3, 4], [4, 5]], {"equation": "...ij,jk->...ik"}, 2 * 3 * 4 * 5),
        ("Attention", [[1, 2, 6, 8], [1, 2, 9, 8], [1, 2, 9, 4]], {}, 2 * 6 * 9 * (8 + 4)),
        ("Relu", [[100]], {}, 0),
    ],
)
def test_macs_counted_by_hand(op: str, shapes: list[list[int]], attributes: dict[str, object], expected: int) -> None:
    assert macs_of(op=op, shapes=shapes, **attributes) == expected


def test_quantised_convolution_counts_its_weights() -> None:
    g = GraphBuilder("q", 17)
    x = g.input("x", (1, 3, 8, 8), TensorProto.UINT8)
    scale, zero = g.constant(0.1), g.constant(0, "uint8")
    weight, zero_weight = g.random_int8(4, 3, 3, 3), g.constant(0, "int8")
    g.node("QLinearConv", x, scale, zero, weight, scale, zero_weight, scale, zero, output="y")
    g.output("y", (1, 4, 6, 6), TensorProto.UINT8)
    assert node_costs(model_of(g.model()))[0].macs == 6 * 6 * 4 * 27


def test_loops_and_branches() -> None:
    loop = node_costs(model_of(loop_net(trips=5)))
    assert [(cost.op, cost.calls) for cost in loop if cost.macs] == [("MatMul", 5)]
    assert sum(cost.macs or 0 for cost in loop) == 5 * 64
    assert sum(cost.macs or 0 for cost in node_costs(model_of(scan_net(steps=5)))) == 5 * (36 + 24)
    assert sum(cost.macs or 0 for cost in node_costs(model_of(if_net()))) == 32 * 4


def test_an_unknown_trip_count_is_no_cost_of_zero() -> None:
    proto = loop_net()
    count = proto.graph.node[0].input[0]
    kept = [tensor for tensor in proto.graph.initializer if tensor.name != count]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.graph.input.append(helper.make_tensor_value_info(count, TensorProto.INT64, []))
    inner = [cost for cost in node_costs(model_of(proto)) if cost.op == "MatMul"]
    assert [cost.macs for cost in inner] == [None]
    assert "trip count" in inner[0].reason


def test_open_shapes_give_a_reason() -> None:
    model = model_of(detector_net())
    costs = [cost for cost in node_costs(model) if cost.op == "Conv"]
    assert all(cost.macs is None and "open" in cost.reason for cost in costs)
    assert peak_activation_memory(model).bytes is None
    assert "open" in peak_activation_memory(model).reason
    assert [(d.input, d.axis, d.symbol) for d in open_dimensions(model)] == [
        ("image", 2, "height"),
        ("image", 3, "width"),
    ]


def test_an_open_batch_counts_as_one() -> None:
    assert model_size(model_of(conv_net(batch="N"))) == model_size(model_of(conv_net(batch=1)))


@pytest.mark.parametrize("name", sorted(set(ALL_MODELS) - {"detector_net"}))
def test_totals_are_the_sums_of_parts(name: str) -> None:
    model = model_of(ALL_MODELS[name]())
    costs = node_costs(model)
    assert all(not cost.reason for cost in costs)
    assert model_size(model).macs == sum(cost.macs or 0 for cost in costs) > 0
    peak = peak_activation_memory(model).bytes
    assert peak is not None
    assert peak >= max((cost.output_bytes or 0) for cost in costs)


def test_peak_memory_counted_by_hand() -> None:
    g = GraphBuilder("g", 17)
    x = g.input("x", (10,))
    a = g.node("Relu", x)
    b = g.node("Neg", a)
    g.node("Add", a, b, output="y")
    g.output("y", (10,))
    # At the end a, b and y are alive; before, x, a; then a, b.
    assert peak_activation_memory(model_of(g.model())).bytes == 3 * 40
