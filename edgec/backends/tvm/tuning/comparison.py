"""Whether one kernel is faster than another, from samples that were taken in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

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
        """Whether the kernel is faster, and not by chance."""
        return self.ratio + self.noise < 1.0


def compare(samples: Sequence[float], others: Sequence[float]) -> Comparison:
    """Compare samples in pairs: what slows the machine down for a while slows both of a pair.

    The error of a median is estimated from the quartiles, which outliers do not move.
    """
    ratios = [mine / other for mine, other in zip(samples, others, strict=True)]
    noise = 0.0
    if len(ratios) > 1:
        first, _, third = statistics.quantiles(ratios, n=4)
        deviation = (third - first) / _NORMAL_QUARTILES
        noise = _DEVIATIONS * _MEDIAN_EFFICIENCY * deviation / math.sqrt(len(ratios))
    return Comparison(statistics.median(samples), statistics.median(others), statistics.median(ratios), noise)
