"""A model in which channels are masked instead of removed: what a pruned model must agree with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from edgec.graph.channels import ChannelMap, trace_channels
from edgec.graph.shapes import static_shape
from edgec.passes.channel_surgery import remove_channels
from edgec.passes.graph_edit import Names, add_constant
from tests.passes.comparison import Feeds, outputs_of


def any_selection(channels: ChannelMap, share: float, seed: int) -> np.ndarray:
    """Whether each class is kept: about `share` of those that may go are gone, but never a whole value."""
    generator = np.random.default_rng(seed)
    kept = np.ones(channels.classes.count, bool)
    for group in channels.groups:
        kept[group.removable[generator.random(group.removable.size) < share]] = False
    for vector in channels.vectors():
        if not kept[vector].any():
            kept[generator.choice(vector)] = True
    return kept


def mask_channels(model: ir.Model, kept: np.ndarray, read: Mapping[str, np.ndarray] | None = None) -> None:
    """Multiply, in place, the inputs of every contraction with 0 where a channel is to be removed.

    `read` has the masks of nodes, by name, that read less than what is kept.
    """
    channels = trace_channels(model)
    names = Names(model)
    for contraction in channels.contractions:
        node = contraction.node
        for position, value in enumerate(node.inputs):
            if value is None or value not in channels.values:
                continue
            stays = (read or {}).get(str(node.name), kept)[channels.classes.of(channels.values[value])]
            mask = np.broadcast_to(stays, static_shape(value) or ()).astype(value.dtype.numpy())
            constant = add_constant(model.graph, names.fresh(f"{value.name}.mask"), mask)
            product = ir.node("Mul", [value, constant], name=names.fresh(f"{value.name}/Mask"))
            product.outputs[0].name = names.fresh(f"{value.name}.masked")
            model.graph.insert_before(node, [product])
            node.replace_input_with(position, product.outputs[0])


def assert_pruned_is_masked(
    model: ir.Model, feeds: Feeds, *, share: float = 0.5, seed: int = 0, tolerance: float = 1e-5
) -> tuple[ChannelMap, np.ndarray]:
    """Prune a random selection of channels of a prepared model, in place, and compare with masking it."""
    masked = model.clone()
    channels = trace_channels(model)
    kept = any_selection(channels, share, seed)
    mask_channels(masked, kept)
    expected = outputs_of(masked, feeds)
    remove_channels(model, channels, kept)
    pruned = ir.serde.serialize_model(model)
    if model.graph.num_nodes() and pruned.ByteSize() < 1 << 20:
        onnx.checker.check_model(pruned, full_check=True)
    for wanted, got in zip(expected, outputs_of(pruned, feeds), strict=True):
        assert wanted.shape == got.shape
        assert np.abs(wanted - got).max() <= tolerance * np.ptp(wanted)
    return channels, kept
