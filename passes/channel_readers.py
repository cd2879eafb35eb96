"""Unconstrained pruning: every layer chooses what it reads, and gets it by a copy or as a range of what is made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from edgec.core.passes import PassResult, Skip
from edgec.core.tensor import Sample
from edgec.graph.channels import ChannelMap
from edgec.graph.channels_cost import KernelRate, PrunedCost
from edgec.passes.channel_copies import copied_bytes, picked_inputs
from edgec.passes.channel_importance import Criterion
from edgec.passes.channel_options import Pick, PruneChannelsOptions
from edgec.passes.channel_reconstruction import make_up_for_removed, reader_errors
from edgec.passes.channel_refit import outputs_that_stay, refit
from edgec.passes.channel_reorder import read_ranges, reorder
from edgec.passes.channel_subsets import SubsetChooser, Subsets
from edgec.passes.channel_surgery import remove_channels

Stats = dict[str, int | float | str]
_DEAR_COPIES = 0.01
"""Share of the predicted time from which copies are worth reading less of what matters."""


def prune_for_each_reader(
    model: ir.Model,
    channels: ChannelMap,
    options: PruneChannelsOptions,
    rate: KernelRate,
    samples: Iterable[Sample],
) -> PassResult:
    """Prune in place.

    Args:
        model: prepared as for `prune-channels`.
        channels: of the model.
        options: what the user asked for.
        rate: of the target.
        samples: to make up for what is removed; may be empty.
    """
    round_to, inputs = options.round_to or rate.lanes, list(samples)
    cost = PrunedCost(model, channels, rate)
    by_error = options.criterion_for(inputs) is Criterion.RECONSTRUCTION
    scores = reader_errors(model, channels, inputs) if by_error else {}
    chooser = SubsetChooser(channels, least=options.keep_at_least, round_to=round_to, scores=scores)
    subsets = _chosen(channels, chooser, options, cost)
    gathered = _copied(channels, subsets, ranges=True)
    pick, ordered = options.pick, Stats()
    if pick is not Pick.GATHER:
        subsets, pick, ordered = _in_order(model, channels, chooser, subsets, cost, pick)
    stats = _summary(channels, subsets, cost) | {"read by": pick.value, "bytes copied by gathers": gathered} | ordered
    stats["bytes copied where ranges are read in place"] = _copied(channels, subsets, ranges=False)
    stats["bytes copied where ranges are copied"] = _copied(channels, subsets, ranges=True)
    before, stays = model.clone(), outputs_that_stay(channels, subsets.kept)
    adjusted = make_up_for_removed(model, channels, subsets.kept, inputs, subsets.read) if options.reconstruct else 0
    stats["inputs picked"] = remove_channels(model, channels, subsets.kept, subsets.read)
    if options.reconstruct:
        stats["layers reconstructed"] = max(adjusted, refit(before, model, stays, inputs))
    skipped = tuple(Skip(group.name, group.reason) for group in channels.groups if group.staying)
    assumptions = (f"time is predicted from {rate.basis}; layers read a multiple of {round_to} channels",)
    return PassResult(model, True, stats, skipped, assumptions)


def _in_order(
    model: ir.Model,
    channels: ChannelMap,
    chooser: SubsetChooser,
    subsets: Subsets,
    cost: PrunedCost,
    pick: Pick | None,
) -> tuple[Subsets, Pick, Stats]:
    """Reorder channels, and let layers read ranges if that is wanted, or pays where nothing is said of it."""
    reordering = reorder(model, channels, subsets)
    stats: Stats = {
        "bytes copied in the order of UPSCALE": reordering.by_paths,
        "bytes copied in the best order": reordering.by_families,
    }
    ordered = reordering.subsets
    if pick is None:
        copies = [copy for copy in picked_inputs(channels, ordered.kept, ordered.read) if not copy.contiguous]
        seconds = cost.copy_seconds(copied_bytes(copies, ranges=True), len(copies))
        dear = seconds > _DEAR_COPIES * cost.seconds(ordered.kept, read=ordered.read)
        pick = Pick.VIEW if dear else Pick.SLICE
    if pick is Pick.SLICE:
        return ordered, pick, stats
    read, held = read_ranges(channels, chooser.moved(reordering.place_of), ordered)
    stats["share of what matters that ranges hold"] = round(held, 4)
    return read, pick, stats


def _chosen(channels: ChannelMap, chooser: SubsetChooser, options: PruneChannelsOptions, cost: PrunedCost) -> Subsets:
    if options.ratio is not None:
        return chooser.choose(options.ratio)
    everything = np.ones(channels.classes.count, bool)
    if options.target_time is not None:
        longest = options.target_time * cost.seconds(everything)
        return chooser.until(lambda found: _seconds(channels, found, cost, options.pick) <= longest)
    most = (options.target_macs or 0.5) * cost.total_macs
    return chooser.until(lambda found: cost.macs(found.kept, found.read) <= most)


def _seconds(channels: ChannelMap, subsets: Subsets, cost: PrunedCost, pick: Pick | None) -> float:
    """Predicted time; slices count as copies here, as the order is only known once the subsets are."""
    seconds = cost.seconds(subsets.kept, read=subsets.read)
    if pick in {None, Pick.VIEW}:
        return seconds
    picks = picked_inputs(channels, subsets.kept, subsets.read)
    return seconds + cost.copy_seconds(copied_bytes(picks, ranges=True), len(picks))


def _copied(channels: ChannelMap, subsets: Subsets, *, ranges: bool) -> int:
    return copied_bytes(picked_inputs(channels, subsets.kept, subsets.read), ranges=ranges)


def _summary(channels: ChannelMap, subsets: Subsets, cost: PrunedCost) -> Stats:
    everything = np.ones(channels.classes.count, bool)
    macs, seconds = cost.macs(subsets.kept, subsets.read), cost.seconds(subsets.kept, read=subsets.read)
    copies = [pick for pick in picked_inputs(channels, subsets.kept, subsets.read) if not pick.contiguous]
    seconds += cost.copy_seconds(copied_bytes(copies, ranges=True), len(copies))
    stats: Stats = {
        "multiply-accumulates left": round(macs / max(cost.total_macs, 1), 4),
        "predicted time left": round(seconds / max(cost.seconds(everything), 1e-30), 4),
        "channels": channels.classes.count - 1,
        "channels left": int(np.count_nonzero(subsets.kept[1:])),
    }
    for group in channels.groups:
        members = channels.classes.of(group.producers[0].channels)
        if group.removable.size:
            stats[f"channels of {group.name}"] = f"{int(subsets.kept[members].sum())} of {members.size}"
    return stats
