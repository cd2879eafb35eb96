"""Whether a difference in counts is more than chance: interval of a share, paired test, correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgec.core.metric import Mode, Value

_NORMAL_95 = 1.959964


def share_with_interval(part: int, whole: int, source: str) -> Value:
    """A measured share with its 95 % interval.

    The interval is Wilson's (1927, Probable inference, the law of succession, and statistical inference): unlike the
    normal approximation it is not empty where every sample is right.
    """
    share = part / whole
    square = _NORMAL_95**2
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    margin = _NORMAL_95 * math.sqrt(share * (1 - share) / whole + square / (4 * whole**2)) / (1 + square / whole)
    low, high = max(0.0, middle - margin), min(1.0, middle + margin)
    return Value(value=share, low=min(low, share), high=max(high, share), mode=Mode.MEASURED, source=source)


def paired_p_value(lost: int, gained: int) -> float:
    """McNemar's exact test: how likely are counts that are this far apart, or farther, if neither model is better.

    Only samples that one model gets right and the other wrong count; under the hypothesis each falls on either side
    with even odds (McNemar 1947, Note on the sampling error of the difference between correlated proportions).

    Args:
        lost: samples that only the first model gets right.
        gained: samples that only the second model gets right.
    """
    whole = lost + gained
    tail = math.fsum(math.exp(_log_even_odds(whole, count)) for count in range(min(lost, gained) + 1))
    return min(1.0, 2 * tail)


def corrected(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values after Holm's correction for their number, in the given order.

    The smallest is multiplied by their number, the next by one less, and none falls below the one before (Holm 1979,
    A simple sequentially rejective multiple test procedure).
    """
    result = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        result[index] = largest
    return tuple(result)


def _log_even_odds(whole: int, count: int) -> float:
    """Logarithm of the chance of `count` heads in `whole` tosses."""
    ways = math.lgamma(whole + 1) - math.lgamma(count + 1) - math.lgamma(whole - count + 1)
    return ways - whole * math.log(2)
