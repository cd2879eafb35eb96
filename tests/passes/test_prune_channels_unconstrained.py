"""Unconstrained pruning: every layer reads a subset of its own."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.graph.channels import trace_channels
from edgec.graph.cost import model_size
from edgec.passes.channel_order import contiguous_order, reorder
from edgec.passes.channel_subsets import SubsetChooser
from edgec.passes.channel_surgery import remove_channels
from edgec.passes.prune_channels import PruneChannels, PruneChannelsOptions
from tests.models.builder import GraphBuilder
from tests.passes.channel_masking import mask_channels
from tests.passes.channel_networks import BLOCKS, NetworkBuilder, networks
from tests.passes.comparison import op_types, outputs_of, prepared, random_feeds


def assert_subsets_are_masks(proto: onnx.ModelProto, removed: float, *, in_order: bool) -> None:
    model = prepared(proto)
    masked = model.clone()
    channels = trace_channels(model)
    subsets = SubsetChooser(channels, least=0.1, round_to=1).choose(removed)
    mask_channels(masked, subsets.kept, {str(node.name): mask for node, mask in subsets.read.items()})
    if in_order:
        subsets = reorder(model, channels, subsets)
    remove_channels(model, channels, subsets.kept, subsets.read)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    feeds = random_feeds(proto)
    for wanted, got in zip(outputs_of(masked, feeds), outputs_of(model, feeds), strict=True):
        assert np.abs(wanted - got).max() <= 1e-5 * np.ptp(wanted)


@pytest.mark.parametrize("in_order", [False, True], ids=["gather", "slice"])
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_way_for_channels_to_meet(block: str, in_order: bool) -> None:
    builder = NetworkBuilder(13, 1, 8, 4)
    BLOCKS[block](builder)
    assert_subsets_are_masks(builder.finish("pooled"), 0.4, in_order=in_order)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.floats(0.1, 0.8), st.booleans())
def test_random_networks(proto: onnx.ModelProto, removed: float, in_order: bool) -> None:
    assert_subsets_are_masks(proto, removed, in_order=in_order)


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
    result = PruneChannels(PruneChannelsOptions(mode="unconstrained", ratio=0.5, round_to=1)).run(model, PassContext())
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


def test_time_is_no_goal_of_this_mode() -> None:
    with pytest.raises(EdgecError):
        make_pass("prune-channels", {"mode": "unconstrained", "target_time": 0.5})


subsets_of_eight = st.lists(st.frozensets(st.integers(0, 7), min_size=1), max_size=4)


@given(st.lists(st.frozensets(st.integers(0, 7), min_size=1), max_size=2))
def test_two_subsets_can_always_be_contiguous(wanted: list[frozenset[int]]) -> None:
    order = contiguous_order(frozenset(range(8)), wanted)
    assert sorted(order) == list(range(8))
    for subset in wanted:
        places = sorted(order.index(member) for member in subset)
        assert places == list(range(places[0], places[0] + len(places)))


@given(subsets_of_eight)
def test_the_order_covers_as_much_as_the_best_pair(wanted: list[frozenset[int]]) -> None:
    order = contiguous_order(frozenset(range(8)), wanted)
    contiguous = [s for s in wanted if max(map(order.index, s)) - min(map(order.index, s)) == len(s) - 1]
    covered = len(frozenset().union(*contiguous))
    best = max((len(a | b) for a, b in itertools.product(wanted, repeat=2)), default=0)
    assert covered >= best
