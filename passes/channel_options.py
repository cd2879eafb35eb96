"""What a user can say about pruning: the options of `prune-channels`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from edgec.core.passes import PassOptions
from edgec.core.tensor import Sample
from edgec.passes.channel_allocation import Allocation
from edgec.passes.channel_importance import Criterion


class Mode(StrEnum):
    """Whether a channel goes for all layers that read it, or for each of them separately."""

    CONSTRAINED = "constrained"
    UNCONSTRAINED = "unconstrained"


class Pick(StrEnum):
    """How a layer gets the channels that it reads out of those that are made.

    GATHER: they are copied.
    SLICE: channels are put into an order in which as many subsets as possible are contiguous; the others are copied.
    VIEW: as SLICE, and a layer whose subset is not contiguous reads the contiguous range that matters most to it
        instead, so that a backend that reads ranges in place copies nothing.
    """

    GATHER = "gather"
    SLICE = "slice"
    VIEW = "view"


class PruneChannelsOptions(PassOptions):
    """Options of `prune-channels`."""

    target_macs: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the multiply-accumulates to be left; 0.5 if no goal is given",
    )
    target_time: float | None = Field(
        default=None, gt=0, le=1, description="share of the time predicted for the target to be left"
    )
    ratio: float | None = Field(default=None, ge=0, lt=1, description="share of the removable channels to remove")
    steps: int = Field(
        default=1,
        ge=1,
        le=100,
        description="reach the goal in this many steps, what matters being judged anew before each of them",
    )
    mode: Mode = Field(
        default=Mode.CONSTRAINED, description="whether layers that read the same channels must read the same of them"
    )
    pick: Pick | None = Field(
        default=None,
        description="how an unconstrained layer gets its channels: by a Gather, by a Slice where reordering can make "
        "them contiguous, or always by a Slice, of the range that matters most to it (view); default: slice, and view "
        "where the copies that slice leaves would take more than 1 % of the predicted time",
    )
    criterion: Criterion | None = Field(
        default=None, description="what makes a channel important; default: reconstruction with samples, else l2"
    )
    allocation: Allocation = Field(
        default=Allocation.TARGET,
        description="how the removal is spread: the same share everywhere, the least important anywhere, or where the "
        "predicted time saved on the target is largest for the importance lost",
    )
    round_to: int | None = Field(
        default=None, ge=1, description="layers keep a multiple of this many channels; default: the target's vector"
    )
    reconstruct: bool = Field(
        default=True, description="with samples (--data): let the channels that stay make up for those that go"
    )
    keep_at_least: float = Field(
        default=0.25, ge=0, le=1, description="smallest share of the channels of a layer that stays"
    )
    measure_groups: bool = Field(
        default=False,
        description="with samples: measure how much the outputs change if only one group of layers is pruned, for each",
    )

    def criterion_for(self, samples: Sequence[Sample]) -> Criterion:
        """What makes a channel important, with these samples."""
        return self.criterion or (Criterion.RECONSTRUCTION if samples else Criterion.L2)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(goal is not None for goal in (self.target_macs, self.target_time, self.ratio)) > 1:
            raise ValueError("give one of target_macs, target_time and ratio")
        if self.mode is Mode.UNCONSTRAINED and (self.steps > 1 or self.measure_groups):
            raise ValueError("steps and measure_groups are for constrained pruning")
        return self
