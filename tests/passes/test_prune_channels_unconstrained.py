"""Unconstrained pruning: every layer reads a subset of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.graph.channels import trace_channels
from edgec.graph.cost import model_size
from edgec.passes.channel_consecutive import ConsecutiveOrders, heaviest_family
from edgec.passes.channel_options import Pick, PruneChannelsOptions
from edgec.passes.channel_order import contiguous_order
from edgec.passes.channel_reorder import read_ranges, reorder
from edgec.passes.channel_subsets import SubsetChooser
from edgec.passes.channel_surgery import remove_channels
from edgec.passes.prune_channels import PruneChannels
from tests.models.builder import GraphBuilder
from tests.passes.channel_masking import mask_channels
from tests.passes.channel_networks import BLOCKS, NetworkBuilder, networks
from tests.passes.comparison import op_types, outputs_of, prepared, random_feeds


def assert_subsets_are_masks(proto: onnx.ModelProto, removed: float, pick: Pick) -> None:
    model = prepared(proto)
    masked = model.clone()
    channels = trace_channels(model)
    chooser = SubsetChooser(channels, least=0.1, round_to=1)
    subsets = chooser.choose(removed)
    if pick is not Pick.VIEW:
        mask_channels(masked, subsets.kept, {str(node.name): mask for node, mask in subsets.read.items()})
    if pick is not Pick.GATHER:
        reordering = reorder(model, channels, subsets)
        subsets = reordering.subsets
    if pick is Pick.VIEW:
        subsets, _ = read_ranges(channels, chooser.moved(reordering.place_of), subsets)
        masked = model.clone()
        mask_channels(masked, subsets.kept, {str(node.name): mask for node, mask in subsets.read.items()})
    remove_channels(model, channels, subsets.kept, subsets.read)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    feeds = random_feeds(proto)
    for wanted, got in zip(outputs_of(masked, feeds), outputs_of(model, feeds), strict=True):
        assert np.abs(wanted - got).max() <= 1e-5 * np.ptp(wanted)


@pytest.mark.parametrize("pick", Pick)
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_way_for_channels_to_meet(block: str, pick: Pick) -> None:
    builder = NetworkBuilder(13, 1, 8, 4)
    BLOCKS[block](builder)
    assert_subsets_are_masks(builder.finish("pooled"), 0.4, pick)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.floats(0.1, 0.8), st.sampled_from(Pick))
def test_random_networks(proto: onnx.ModelProto, removed: float, pick: Pick) -> None:
    assert_subsets_are_masks(proto, removed, pick)


def two_readers() -> onnx.ModelProto:
    """Twelve channels, and two layers that each care for another half of them, with an overlap of two."""
    g = GraphBuilder("g", 17)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 8, 8)), (3, 12), 3))
    order = np.random.default_rng(0).permutation(12)
    left, right = (np.random.default_rng(s).standard_normal((4, 12, 1, 1)) * 1e-3 for s in (1, 2))
    left[:, order[:6]] += 1
    right[:, order[4:10]] += 1
    y = g.node("Add", g.node("Conv", x, g.constant(left)), g.node("Conv", x, g.constant(right)))
    g.node("GlobalAveragePool", y, output="y")
    g.output("y", (1, 4, 1, 1))
    return g.model()


def test_readers_get_their_own_channels_and_unread_ones_are_not_made() -> None:
    model = prepared(two_readers())
    options = PruneChannelsOptions(mode="unconstrained", ratio=0.5, round_to=1, pick="gather")
    result = PruneChannels(options).run(model, PassContext())
    assert op_types(model).count("Gather") == result.stats["inputs picked"] == 2
    first = next(node for node in model.graph if node.op_type == "Conv")
    assert first.outputs[0].shape == (1, 10, 8, 8)


def test_reordering_makes_both_subsets_contiguous() -> None:
    model = prepared(two_readers())
    options = PruneChannelsOptions(mode="unconstrained", ratio=0.5, round_to=1, pick="slice")
    PruneChannels(options).run(model, PassContext())
    assert op_types(model).count("Slice") == 2
    assert "Gather" not in op_types(model)


def test_a_goal_of_work_is_met() -> None:
    model = prepared(two_readers())
    before = model_size(model).macs
    PruneChannels(PruneChannelsOptions(mode="unconstrained", target_macs=0.8, round_to=1)).run(model, PassContext())
    assert 0.6 < model_size(model).macs / before <= 0.8


def test_a_goal_of_time_is_met_in_prediction() -> None:
    options = PruneChannelsOptions(mode="unconstrained", target_time=0.8, pick="view")
    result = PruneChannels(options).run(prepared(two_readers()), PassContext(target=load_target("raspberry-pi-4")))
    assert 0.5 < result.stats["predicted time left"] <= 0.8


def test_steps_are_for_the_other_mode() -> None:
    with pytest.raises(EdgecError):
        make_pass("prune-channels", {"mode": "unconstrained", "steps": 2})


def three_readers() -> onnx.ModelProto:
    """Sixteen channels and three layers that care for halves of them, in each of which every pair overlaps."""
    g = GraphBuilder("g", 17)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 8, 8)), (3, 16), 3))
    sums = []
    for number, wanted in enumerate(
        ([0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11], [0, 1, 8, 9, 12, 13, 14, 15])
    ):
        weight = np.random.default_rng(number).standard_normal((4, 16, 1, 1)) * 1e-3
        weight[:, np.random.default_rng(9).permutation(16)[wanted]] += 1
        sums.append(g.node("Conv", x, g.constant(weight)))
    g.node("GlobalAveragePool", g.node("Sum", *sums), output="y")
    g.output("y", (1, 4, 1, 1))
    return g.model()


def test_ranges_stand_in_for_subsets_that_cannot_be_contiguous() -> None:
    stats = {}
    for pick in Pick:
        model = prepared(three_readers())
        options = PruneChannelsOptions(mode="unconstrained", ratio=0.5, round_to=1, pick=pick)
        result = PruneChannels(options).run(model, PassContext())
        stats[pick] = result.stats
        assert op_types(model).count("Gather") == {Pick.GATHER: 3, Pick.SLICE: 1, Pick.VIEW: 0}[pick]
    one = 8 * 8 * 8 * 4
    assert stats[Pick.GATHER]["bytes copied where ranges are read in place"] == 3 * one
    assert stats[Pick.SLICE]["bytes copied in the best order"] == one
    assert stats[Pick.SLICE]["bytes copied where ranges are read in place"] == one
    assert stats[Pick.SLICE]["bytes copied where ranges are copied"] == 3 * one
    assert stats[Pick.VIEW]["bytes copied where ranges are read in place"] == 0
    assert 0.5 < stats[Pick.VIEW]["share of what matters that ranges hold"] < 1


subsets_of_eight = st.lists(st.frozensets(st.integers(0, 7), min_size=1), max_size=4)


@given(st.lists(st.frozensets(st.integers(0, 7), min_size=1), max_size=2))
def test_two_subsets_can_always_be_contiguous(wanted: list[frozenset[int]]) -> None:
    order = contiguous_order(frozenset(range(8)), wanted)
    assert sorted(order) == list(range(8))
    for subset in wanted:
        places = sorted(order.index(member) for member in subset)
        assert places == list(range(places[0], places[0] + len(places)))


@given(subsets_of_eight)
def test_the_best_family_leaves_no_more_to_copy_than_the_paths_of_upscale(wanted: list[frozenset[int]]) -> None:
    weights = {subset: float(len(subset)) for subset in wanted}
    orders = contiguous_order(frozenset(range(8)), wanted), heaviest_family(range(8), weights).order()
    paths, family = (sum(weights[s] for s in weights if is_contiguous(order, s)) for order in orders)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(8))
    assert family >= paths


members = st.frozensets(st.integers(0, 6), min_size=1)


@given(st.lists(members, max_size=5))
def test_contiguous_orders_are_found_exactly_where_there_is_one(wanted: list[frozenset[int]]) -> None:
    orders: ConsecutiveOrders | None = ConsecutiveOrders(range(7))
    for subset in wanted:
        orders = orders and orders.require(subset)
    possible = any(all(is_contiguous(order, s) for s in wanted) for order in itertools.permutations(range(7)))
    assert (orders is not None) == possible
    if orders is not None:
        assert sorted(orders.order()) == list(range(7))
        assert all(is_contiguous(orders.order(), subset) for subset in wanted)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(members, st.integers(1, 9), max_size=6))
def test_no_order_has_a_heavier_family(weights: dict[frozenset[int], float]) -> None:
    def weight(order: Sequence[int]) -> float:
        return sum(weights[subset] for subset in weights if is_contiguous(order, subset))

    assert weight(heaviest_family(range(7), weights).order()) == max(map(weight, itertools.permutations(range(7))))


def test_many_unrelated_subsets_take_no_longer_than_a_moment() -> None:
    generator = np.random.default_rng(0)
    weights = {frozenset(generator.choice(256, 128, replace=False).tolist()): float(n) for n in range(1, 25)}
    order = heaviest_family(range(256), weights).order()
    assert sum(weights[subset] for subset in weights if is_contiguous(order, subset)) >= 24 + 23


def is_contiguous(order: Sequence[int], subset: frozenset[int]) -> bool:
    places = [order.index(member) for member in subset]
    return max(places) - min(places) == len(places) - 1
