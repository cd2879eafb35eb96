"""Whether one kernel is faster than another, from samples that were taken in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_MARGIN = 0.97
_DEVIATIONS = 2.0
_NORMAL_QUARTILES = 1.349
_MEDIAN_EFFICIENCY = 1.2533


@dataclass(frozen=True)
class Comparison:
    """A kernel against another one.

    Attributes:
        cost: median of its samples.
        other: median of the other's samples.
        ratio: median of the ratios of samples taken one after the other.
        noise: half of the interval around `ratio` that holds the true one, 95 times of 100.
    """

    cost: float
    other: float
    ratio: float
    noise: float

    @property
    def is_gain(self) -> bool:
        """Whether the kernel is faster by a margin, and not by chance.

        Less than the margin may come from where code and data happen to lie, and be lost again in the network.
        """
        return self.ratio + self.noise < _MARGIN


Run = tuple[Sequence[float], Sequence[float]]
"""Samples of a kernel and, taken in turn with them by the same process, of the other one."""


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare samples in pairs: what slows the machine down for a while slows both of a pair.

    The error of a median is estimated from the quartiles, which outliers do not move, and is no less than half the
    range of the medians of the runs: processes differ by where their memory lies.
    """
    by_run = [[mine / other for mine, other in zip(*run, strict=True)] for run in runs]
    ratios = [ratio for run in by_run for ratio in run]
    medians = [statistics.median(run) for run in by_run]
    spread = (max(medians) - min(medians)) / 2
    noise = 0.0
    if len(ratios) > 1:
        first, _, third = statistics.quantiles(ratios, n=4)
        deviation = (third - first) / _NORMAL_QUARTILES
        noise = _DEVIATIONS * _MEDIAN_EFFICIENCY * deviation / math.sqrt(len(ratios))
    samples, others = ([sample for run in runs for sample in run[side]] for side in (0, 1))
    return Comparison(
        cost=statistics.median(samples),
        other=statistics.median(others),
        ratio=statistics.median(ratios),
        noise=max(noise, spread),
    )
