"""What the report says of pruned groups: what each keeps, gains and costs, and why others lost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Skip
from edgec.core.tensor import Sample
from edgec.graph.channels import ChannelMap, trace_channels
from edgec.graph.channels_cost import PrunedCost
from edgec.graph.reference import ReferenceSession
from edgec.passes.channel_allocation import Allocation, Levels
from edgec.passes.channel_options import PruneChannelsOptions
from edgec.passes.channel_reconstruction import make_up_for_removed
from edgec.passes.channel_surgery import remove_channels

Stats = dict[str, int | float | str]
_SAMPLES = 8
"""Samples on which the outputs are compared, for every group."""


@dataclass(frozen=True, eq=False)
class PruningStage:
    """The model before a step: its channels, what they cost and matter, and what each group may keep."""

    channels: ChannelMap
    cost: PrunedCost
    importance: np.ndarray
    levels: tuple[Levels, ...]

    @property
    def widths(self) -> dict[str, int]:
        """Classes of each group that can lose some, those that must stay included."""
        return {own.group.name: own.width for own in self.levels}

    def with_left(self, left: Mapping[str, int]) -> np.ndarray:
        """Whether each class is kept if the most important ones of each group are, so many of the removable ones."""
        kept = np.ones(self.importance.size, bool)
        for own in self.levels:
            kept[own.ranked[left[own.group.name] :]] = False
        return kept


def group_stats(stage: PruningStage, kept: np.ndarray) -> Stats:
    """What is left of the whole and of each group, and what pruning that group alone would save."""
    everything = np.ones_like(kept)
    cost, seconds = stage.cost, stage.cost.seconds(everything)
    stats: Stats = {
        "multiply-accumulates left": round(cost.macs(kept) / max(cost.total_macs, 1), 4),
        "predicted time left": round(cost.seconds(kept) / seconds, 4) if seconds else 1.0,
        "groups pruned": sum(not kept[own.ranked].all() for own in stage.levels),
        "groups": len(stage.channels.groups),
        "measured gain": "unavailable: a pass runs nothing on the device; `edgec diff` compares two builds by layer",
    }
    for own in stage.levels:
        axis = own.group.producers[0]
        left = int(np.count_nonzero(kept[stage.channels.classes.of(axis.channels)]))
        stats[f"channels of {own.group.name}"] = f"{left} of {axis.channels.size}"
        if left < axis.channels.size:
            alone = _only(own, kept)
            saved = 1 - cost.macs(alone) / max(cost.total_macs, 1), 1 - cost.seconds(alone) / max(seconds, 1e-30)
            stats[f"gain of {own.group.name}"] = (
                f"{saved[0]:.1%} of the model's multiply-accumulates, {saved[1]:.1%} of its predicted time"
            )
    return stats


def output_changes(
    model: ir.Model | None, levels: Sequence[Levels], kept: np.ndarray, samples: Iterable[Sample], *, reconstruct: bool
) -> Stats:
    """How much the outputs change if only one group is pruned, for each of them, or why that is not known.

    Args:
        model: before pruning, it is not changed; None if nothing is to be measured.
        levels: of the groups.
        kept: whether each class stays, (classes,), bool.
        samples: the first 8 are compared.
        reconstruct: whether what goes is made up for.
    """
    chosen = list(samples)
    if model is None or not chosen:
        reason = "`measure_groups` is off" if model is None else "there are no samples"
        return {"cost of each group": f"unavailable: {reason}"}
    expected = _outputs(model, chosen)
    stats: Stats = {}
    for own in levels:
        if kept[own.ranked].all():
            continue
        pruned, alone = model.clone(), _only(own, kept)
        channels = trace_channels(pruned)
        if reconstruct:
            make_up_for_removed(pruned, channels, alone, chosen)
        remove_channels(pruned, channels, alone)
        change = np.linalg.norm(_outputs(pruned, chosen) - expected) / max(float(np.linalg.norm(expected)), 1e-30)
        stats[f"cost of {own.group.name}"] = f"outputs change by {change:.2%} if it is pruned alone"
    return stats


def refused(stage: PruningStage, kept: np.ndarray, options: PruneChannelsOptions, round_to: int) -> list[Skip]:
    """The groups that lost nothing, and why."""
    skips = [Skip(group.name, group.reason) for group in stage.channels.groups if group.removable.size == 0]
    for own in stage.levels:
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


def _only(own: Levels, kept: np.ndarray) -> np.ndarray:
    """What is kept if only one group is pruned."""
    alone = np.ones_like(kept)
    alone[own.ranked] = kept[own.ranked]
    return alone


def _outputs(model: ir.Model, samples: Sequence[Sample]) -> np.ndarray:
    """All numbers of all outputs for the first samples, one after the other."""
    session = ReferenceSession(model)
    found = [session.run(sample) for sample in islice(samples, _SAMPLES)]
    return np.concatenate([np.ravel(output).astype(np.float64) for outputs in found for output in outputs.values()])
