"""Removing any selection of channels is the same as masking it."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.passes.channel_masking import assert_pruned_is_masked
from tests.passes.channel_networks import BLOCKS, NetworkBuilder, networks
from tests.passes.comparison import prepared, random_feeds


@pytest.mark.parametrize("head", ["pooled", "flat"])
@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_way_for_channels_to_meet(block: str, opset: int, head: str) -> None:
    builder = NetworkBuilder(opset, 1, 8, 4)
    BLOCKS[block](builder)
    proto = builder.finish(head)
    channels, kept = assert_pruned_is_masked(prepared(proto), random_feeds(proto), share=0.5, seed=3)
    assert not kept.all()
    assert all(group.removable.size for group in channels.groups[:-1]) or block in ("spatial_gate", "attention")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.floats(0.1, 0.95), st.integers(0, 1000))
def test_random_networks(proto: onnx.ModelProto, share: float, seed: int) -> None:
    assert_pruned_is_masked(prepared(proto), random_feeds(proto), share=share, seed=seed)
