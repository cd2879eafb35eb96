"""Pass `prune-channels`: whole channels are removed where the target gains from it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.graph.channels import ChannelMap, trace_channels
from edgec.graph.channels_cost import KernelRate, PrunedCost
from edgec.passes.channel_allocation import Allocation, Goal, Levels, allocate, levels_of
from edgec.passes.channel_importance import class_importance
from edgec.passes.channel_options import Mode, PruneChannelsOptions
from edgec.passes.channel_readers import prune_for_each_reader
from edgec.passes.channel_reconstruction import make_up_for_removed
from edgec.passes.channel_surgery import remove_channels


class PruneChannels(Pass):
    """Remove whole channels: filters, the slices of weights that read them, and all that accompanies them.

    Without training. Layers whose channels meet (in residual additions, gates, shuffles) lose the same channels. Given
    samples, the layers that read removed channels make up for them from the others, see `channel_reconstruction`.

    Case 1: channels that reach an input or output of the model, an operator that computes across channels, or one of
        which nothing is known, stay; the reason is reported for each layer.
    Case 2: layers keep a multiple of the target's vector, since a part of a vector costs as much as a whole one.
    Case 3: a layer whose channels would save no time on the target stays, if the allocation is by target.

    Case 4: unconstrained, every layer reads the channels that matter to it, those with the largest weights there, the
        same share everywhere. A channel is made as long as one layer reads it; a Gather or Slice picks them.

    The pass is meant to follow `static-shapes`, `fold-constants` and `fold-batch-norm`. Sources: dependency groups from
    Fang et al., DepGraph, 2023; steps by measured gain from Yang et al., NetAdapt, 2018, here with a latency model
    instead of measurements; the criteria are cited in `channel_importance`;
    case 4 from Wan et al., UPSCALE, 2023.
    """

    name: ClassVar[str] = "prune-channels"
    kind: ClassVar[Kind] = Kind.LOSSY
    Options: ClassVar[type[PassOptions]] = PruneChannelsOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Prune in place."""
        options = self.options if isinstance(self.options, PruneChannelsOptions) else PruneChannelsOptions()
        channels = trace_channels(model)
        rate = KernelRate.of(context.target)
        if options.mode is Mode.UNCONSTRAINED:
            return prune_for_each_reader(model, channels, options, rate, context.calibration)
        cost = PrunedCost(model, channels, rate)
        importance = class_importance(channels, options.criterion, context.seed)
        round_to = options.round_to or rate.lanes
        levels = levels_of(channels, importance, round_to=round_to, keep_at_least=options.keep_at_least)
        goal = _goal(options, levels, cost, np.ones(importance.size, bool))
        kept = allocate(options.allocation, levels, importance, cost, goal)
        skipped = _refused(channels, levels, kept, options, round_to)
        stats = _stats(channels, levels, kept, cost)
        assumptions = [f"time is predicted from {rate.basis}; layers keep a multiple of {round_to} channels"]
        if not goal(kept):
            left = cost.macs(kept) / max(cost.total_macs, 1)
            assumptions.append(
                f"the goal is out of reach: all is removed that may be, and {left:.0%} of the work is left"
            )
        modified = not kept.all()
        if modified:
            if options.reconstruct:
                stats["layers reconstructed"] = make_up_for_removed(model, channels, kept, context.calibration)
            remove_channels(model, channels, kept)
        return PassResult(model, modified, stats, tuple(skipped), tuple(assumptions))


def _goal(options: PruneChannelsOptions, levels: tuple[Levels, ...], cost: PrunedCost, everything: np.ndarray) -> Goal:
    if options.ratio is not None:
        wanted = options.ratio * sum(own.ranked.size for own in levels)
        return lambda kept: int(np.count_nonzero(~kept)) >= wanted
    if options.target_time is not None:
        longest = options.target_time * cost.seconds(everything)
        return lambda kept: cost.seconds(kept) <= longest
    most = (options.target_macs or 0.5) * cost.total_macs
    return lambda kept: cost.macs(kept) <= most


def _stats(
    channels: ChannelMap, levels: tuple[Levels, ...], kept: np.ndarray, cost: PrunedCost
) -> dict[str, int | float | str]:
    everything = np.ones_like(kept)
    seconds = cost.seconds(everything)
    stats: dict[str, int | float | str] = {
        "multiply-accumulates left": round(cost.macs(kept) / max(cost.total_macs, 1), 4),
        "predicted time left": round(cost.seconds(kept) / seconds, 4) if seconds else 1.0,
        "groups pruned": sum(not kept[own.ranked].all() for own in levels),
        "groups": len(channels.groups),
    }
    for own in levels:
        axis = own.group.producers[0]
        left = int(np.count_nonzero(kept[channels.classes.of(axis.channels)]))
        stats[f"channels of {own.group.name}"] = f"{left} of {axis.channels.size}"
    return stats


def _refused(
    channels: ChannelMap, levels: tuple[Levels, ...], kept: np.ndarray, options: PruneChannelsOptions, round_to: int
) -> list[Skip]:
    skips = [Skip(group.name, group.reason) for group in channels.groups if group.removable.size == 0]
    for own in levels:
        if not kept[own.ranked].all():
            continue
        if len(own.keep) == 1:
            reason = (
                f"no multiple of {round_to} channels lies between {options.keep_at_least:g} of its {own.width} and all"
            )
        elif options.allocation is Allocation.TARGET:
            reason = "what it would save on the target is too little for what would be lost"
        else:
            reason = "its channels matter more than those of other layers, or its share is no whole step"
        skips.append(Skip(own.group.name, reason))
    return skips
