"""Which channels are tied, which must stay and why, in small networks whose answer is plain."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.graph.channels import ChannelGroup, ChannelMap, trace_channels
from edgec.graph.channels_classes import ChannelClasses, connected_components
from edgec.graph.channels_cost import KernelRate, PrunedCost
from edgec.graph.cost import model_size
from edgec.graph.shapes import infer_shapes
from tests.models.builder import GraphBuilder


def traced(g: GraphBuilder, output: str, shape: tuple[int, ...]) -> tuple[ir.Model, ChannelMap]:
    g.output(output, shape)
    model = ir.from_proto(g.model())
    infer_shapes(model)
    return model, trace_channels(model)


def group_of(channels: ChannelMap, node: str) -> ChannelGroup:
    return next(g for g in channels.groups if any(axis.node.name == node for axis in g.producers))


def small() -> tuple[GraphBuilder, str]:
    g = GraphBuilder("g", 17)
    return g, g.convolution(g.input("x", (1, 3, 8, 8)), (3, 8), 3)


def test_a_chain_has_one_class_for_each_filter_and_keeps_its_outputs() -> None:
    g, x = small()
    _, channels = traced(g, g.convolution(x, (8, 5), 3, output="y"), (1, 5, 8, 8))
    first, last = channels.groups
    assert (first.removable.size, first.staying) == (8, 0)
    assert (last.removable.size, last.reason) == (0, "`y` is an output of the model")


def test_a_residual_makes_one_group_of_two_layers() -> None:
    g, x = small()
    x = g.node("Add", x, g.convolution(x, (8, 8), 3))
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), (1, 5, 8, 8))
    group = group_of(channels, "Conv_0")
    assert [axis.node.name for axis in group.producers] == ["Conv_0", "Conv_1"]
    assert group.removable.size == 8
    assert group.name == "Conv_0 and 1 more"


def test_a_concatenation_keeps_its_parts_apart() -> None:
    g, x = small()
    x = g.node("Concat", x, g.convolution(x, (8, 6), 3), axis=1)
    _, channels = traced(g, g.convolution(x, (14, 5), 1, output="y"), (1, 5, 8, 8))
    assert [group.removable.size for group in channels.groups] == [8, 6, 0]


def test_a_gate_over_places_ties_no_channels() -> None:
    g, x = small()
    x = g.node("Mul", x, g.convolution(x, (8, 1), 1))
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), (1, 5, 8, 8))
    assert group_of(channels, "Conv_0").removable.size == 8
    assert "only one" in group_of(channels, "Conv_1").reason


def test_a_depthwise_convolution_follows_its_input() -> None:
    g, x = small()
    x = g.convolution(x, (8, 8), 3, group=8)
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), (1, 5, 8, 8))
    assert [axis.node.name for axis in group_of(channels, "Conv_0").producers] == ["Conv_0", "Conv_1"]


def test_a_shuffle_ties_the_same_place_of_both_halves() -> None:
    g, x = small()
    x = g.node("Reshape", x, g.integers(1, 2, 4, 8, 8))
    x = g.node("Reshape", g.node("Transpose", x, perm=[0, 2, 1, 3, 4]), g.integers(1, 8, 8, 8))
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), (1, 5, 8, 8))
    made = channels.classes.of(group_of(channels, "Conv_0").producers[0].channels)
    assert made[:4].tolist() == made[4:].tolist()
    assert np.unique(made).size == 4


def test_padded_channels_stay_and_tie_what_is_added_to_them() -> None:
    g, x = small()
    x = g.node("Add", g.node("Pad", x, g.integers(0, 0, 0, 0, 0, 2, 0, 0)), g.convolution(x, (8, 10), 3))
    _, channels = traced(g, g.convolution(x, (10, 5), 1, output="y"), (1, 5, 8, 8))
    group = group_of(channels, "Conv_0")
    assert (group.removable.size, group.staying, group.reason) == (8, 1, "Pad adds it")


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [("Softmax", {"axis": 1}, "computes across axis 1"), ("LRN", {"size": 3}, "not followed")],
)
def test_operators_across_channels_freeze_them_and_say_so(op: str, attributes: dict[str, int], reason: str) -> None:
    g, x = small()
    x = g.node(op, x, **attributes)
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), (1, 5, 8, 8))
    group = group_of(channels, "Conv_0")
    assert group.removable.size == 0
    assert reason in group.reason
    assert group.reason.startswith(f"{op} `{op}_1`")


def test_weights_computed_at_run_time_freeze_what_they_read() -> None:
    g, x = small()
    weight = g.node("Relu", g.weight(5, 8, 1, 1))
    _, channels = traced(g, g.node("Conv", x, weight, output="y"), (1, 5, 8, 8))
    assert "computed at run time" in group_of(channels, "Conv_0").reason


def test_an_open_shape_freezes_with_its_name() -> None:
    g = GraphBuilder("g", 17)
    x = g.convolution(g.input("x", ("batch", 3, 8, 8)), (3, 8), 3)
    _, channels = traced(g, g.convolution(x, (8, 5), 1, output="y"), ("batch", 5, 8, 8))
    assert channels.groups == ()
    assert any("shape of `x` is open" in reason for reason in channels.reasons.values())


def test_the_heads_of_attention_lose_the_same_places() -> None:
    g = GraphBuilder("g", 17)
    x = g.node("MatMul", g.input("x", (1, 5, 6)), g.weight(6, 8))
    made = [g.node("MatMul", x, g.weight(8, 8)) for _ in range(3)]
    orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    q, k, v = (
        g.node("Transpose", g.node("Reshape", m, g.integers(1, 5, 2, 4)), perm=order)
        for m, order in zip(made, orders, strict=True)
    )
    mixed = g.node("MatMul", g.node("Softmax", g.node("MatMul", q, k)), v)
    joined = g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), g.integers(1, 5, 8))
    _, channels = traced(g, g.node("MatMul", joined, g.weight(8, 3), output="y"), (1, 5, 3))
    together = group_of(channels, "MatMul_1")
    assert [axis.node.name for axis in together.producers] == ["MatMul_1", "MatMul_2"]
    assert together.removable.size == 4
    assert group_of(channels, "MatMul_3").removable.size == 4


def test_a_predicted_cost_is_that_of_what_is_left() -> None:
    g, x = small()
    model, channels = traced(g, g.convolution(x, (8, 5), 3, output="y"), (1, 5, 8, 8))
    cost = PrunedCost(model, channels, KernelRate(4, 1e9, 1e9, "test"))
    kept = np.ones(channels.classes.count, bool)
    assert cost.macs(kept) == model_size(model).macs == 64 * 9 * (3 * 8 + 8 * 5)
    everything = cost.seconds(kept)
    kept[channels.groups[0].removable[:3]] = False
    assert cost.macs(kept) == 64 * 9 * (3 * 5 + 5 * 5)
    three = cost.seconds(kept)
    kept[channels.groups[0].removable[3]] = False
    assert everything > three > cost.seconds(kept)


def test_part_of_a_vector_costs_the_multiplications_of_a_whole_one() -> None:
    g, x = small()
    model, channels = traced(g, g.node("GlobalMaxPool", g.convolution(x, (8, 8), 1), output="y"), (1, 8, 1, 1))
    cost = PrunedCost(model, channels, KernelRate(4, 1.0, 1e30, "test"))
    kept = np.ones(channels.classes.count, bool)
    kept[channels.groups[0].removable[:3]] = False
    # Five of eight filters remain: two vectors of the first layer as before, five eighths of the second.
    assert cost.seconds(kept) == pytest.approx(64 * (27 * 8 + 5 * 8))


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_are_those_of_a_plain_search(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    expected = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert connected_components(count, np.array(pairs, np.int64).reshape(-1, 2)).tolist() == expected


def test_ties_and_reasons_meet_in_a_class() -> None:
    classes = ChannelClasses()
    a, b = classes.new(3), classes.new(3)
    classes.tie(a[:2], b[1:])
    classes.freeze(b[1:2], "because")
    resolved = classes.resolve()
    assert resolved.of(a[0]) == resolved.of(b[1])
    assert resolved.reasons[int(resolved.of(a[0]))] == "because"
    assert resolved.count == 1 + 4
