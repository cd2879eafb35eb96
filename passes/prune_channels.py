"""Pass `prune-channels`: whole channels are removed where the target gains from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.codes.passes import PASS_NEEDS_DATA
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult
from edgec.graph.channels import ChannelMap, trace_channels
from edgec.graph.channels_cost import KernelRate, PrunedCost
from edgec.passes.channel_allocation import Goal, allocate, levels_of
from edgec.passes.channel_findings import PruningStage, group_stats, output_changes, refused
from edgec.passes.channel_importance import Criterion, Gradients, class_importance, importance_to_readers
from edgec.passes.channel_options import Mode, PruneChannelsOptions
from edgec.passes.channel_readers import prune_for_each_reader
from edgec.passes.channel_reconstruction import make_up_for_removed, reader_errors
from edgec.passes.channel_refit import outputs_that_stay, refit
from edgec.passes.channel_surgery import remove_channels
from edgec.training.availability import require_training

_GRADIENT_BATCHES = 16
_GRADIENT_SAMPLES = 32
"""Batches, and samples of each, that the criterion `taylor` looks at."""


class PruneChannels(Pass):
    """Remove whole channels: filters, the slices of weights that read them, and all that accompanies them.

    Without training. Layers whose channels meet (in residual additions, gates, shuffles) lose the same channels. Given
    samples, the layers that read removed channels make up for them from the others, see `channel_reconstruction`, and
    all layers are fitted to what they computed before, see `channel_refit`.

    Case 1: channels that reach an input or output of the model, an operator that computes across channels, or one of
        which nothing is known, stay; the reason is reported for each layer.
    Case 2: layers keep a multiple of the target's vector, since a part of a vector costs as much as a whole one.
    Case 3: a layer whose channels would save no time on the target stays, if the allocation is by target.
    Case 4: in several steps, what matters is judged anew after each of them, and the shares that are left form a
        geometric series.
    Case 5: unconstrained, every layer reads the channels that matter to it, those with the largest weights there, the
        same share everywhere. A channel is made as long as one layer reads it; a Gather or Slice picks them.
        Channels are put into an order in which what is read is contiguous, where that is wanted and possible.

    The pass is meant to follow `static-shapes`, `fold-constants` and `fold-batch-norm`. Sources: dependency groups from
    Fang et al., DepGraph, 2023; steps by measured gain from Yang et al., NetAdapt, 2018, here with a latency model
    instead of measurements; the criteria are cited in `channel_importance`;
    case 5 from Wan et al., UPSCALE, 2023.
    """

    name: ClassVar[str] = "prune-channels"
    kind: ClassVar[Kind] = Kind.LOSSY
    Options: ClassVar[type[PassOptions]] = PruneChannelsOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Prune in place.

        Raises:
            EdgecError: EC0305 for the criteria `taylor` and `reconstruction` without data. For `taylor` also EC0901
                without the extra `qat`, and EC10xx where the model or the data cannot be trained with.
        """
        options = self.options if isinstance(self.options, PruneChannelsOptions) else PruneChannelsOptions()
        rate = KernelRate.of(context.target)
        # Every step looks at the samples again, and they may be an iterator.
        samples = list(context.calibration)
        context = replace(context, calibration=samples)
        criterion = options.criterion_for(samples)
        if options.mode is Mode.UNCONSTRAINED:
            return prune_for_each_reader(model, trace_channels(model), options, rate, context.calibration)
        whole = model.clone() if options.measure_groups else None
        first = _stage(model, options, context, {})
        left, reconstructed, reached = {own.group.name: own.keep[0] for own in first.levels}, 0, False
        for number in range(1, options.steps + 1):
            stage = first if number == 1 else _stage(model, options, context, first.widths)
            goal = _goal(options, number / options.steps, first, stage, left)
            kept = allocate(
                options.allocation,
                *(stage.levels, stage.importance, stage.cost, goal),
                losses=criterion in {Criterion.RECONSTRUCTION, Criterion.TAYLOR},
            )
            left |= {own.group.name: int(np.count_nonzero(kept[own.ranked])) for own in stage.levels}
            reached = goal(kept)
            if not kept.all():
                reconstructed += _removed(model, stage.channels, kept, options, context)
        kept = first.with_left(left)
        stats = group_stats(first, kept)
        if options.reconstruct:
            stats["layers reconstructed"] = reconstructed
        stats |= output_changes(whole, first.levels, kept, samples, reconstruct=options.reconstruct)
        round_to = options.round_to or rate.lanes
        assumptions = [f"time is predicted from {rate.basis}; layers keep a multiple of {round_to} channels"]
        if not reached:
            share = first.cost.macs(kept) / max(first.cost.total_macs, 1)
            assumptions.append(
                f"the goal is out of reach: all is removed that may be, and {share:.0%} of the work is left"
            )
        skipped = tuple(refused(first, kept, options, round_to))
        return PassResult(model, not bool(kept.all()), stats, skipped, tuple(assumptions))


def _removed(
    model: ir.Model, channels: ChannelMap, kept: np.ndarray, options: PruneChannelsOptions, context: PassContext
) -> int:
    """Remove channels and make up for them, if that is wanted and there are samples; how many layers were adjusted."""
    before, stays = model.clone(), outputs_that_stay(channels, kept)
    adjusted = make_up_for_removed(model, channels, kept, context.calibration) if options.reconstruct else 0
    remove_channels(model, channels, kept)
    return max(adjusted, refit(before, model, stays, context.calibration) if options.reconstruct else 0)


def _stage(
    model: ir.Model, options: PruneChannelsOptions, context: PassContext, widths: Mapping[str, int]
) -> PruningStage:
    rate = KernelRate.of(context.target)
    channels = trace_channels(model)
    criterion = options.criterion_for(list(context.calibration))
    if criterion is Criterion.RECONSTRUCTION:
        importance = importance_to_readers(channels, reader_errors(model, channels, context.calibration))
    else:
        gradients = _gradients(model, context) if criterion is Criterion.TAYLOR else ()
        importance = class_importance(channels, criterion, context.seed, gradients)
    levels = levels_of(
        channels,
        importance,
        round_to=options.round_to or rate.lanes,
        keep_at_least=options.keep_at_least,
        widths=widths,
    )
    return PruningStage(channels, PrunedCost(model, channels, rate), importance, levels)


def _gradients(model: ir.Model, context: PassContext) -> Iterable[Gradients]:
    if context.data is None:
        what = "the criterion `taylor` looks at gradients of the loss, and there are no data"
        raise EdgecError(PASS_NEEDS_DATA, what, where="pass prune-channels", hint=PASS_NEEDS_DATA.remedy)
    require_training()
    from edgec.training.gradients import weight_gradients

    return weight_gradients(model, context.data, steps=_GRADIENT_BATCHES, batch=_GRADIENT_SAMPLES, seed=context.seed)


def _goal(
    options: PruneChannelsOptions, done: float, first: PruningStage, stage: PruningStage, left: Mapping[str, int]
) -> Goal:
    """The goal of a step, when a share of the way is done with it.

    Args:
        options: with the goal of all steps.
        done: share of the steps that are done after this one.
        first: the stage before all steps.
        stage: the stage before this one.
        left: removable channels of each group that are left before this step.
    """
    if options.ratio is not None:
        removable = sum(own.ranked.size for own in first.levels)
        wanted = options.ratio * done * removable - (removable - sum(left.values()))
        return lambda kept: int(np.count_nonzero(~kept)) >= wanted
    if options.target_time is not None:
        longest = options.target_time**done * first.cost.seconds(np.ones(first.importance.size, bool))
        return lambda kept: stage.cost.seconds(kept) <= longest
    most = (options.target_macs or 0.5) ** done * first.cost.total_macs
    return lambda kept: stage.cost.macs(kept) <= most
