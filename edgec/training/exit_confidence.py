"""How sure an early exit is, whether it is right to be, and what leaving early saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 15
_TEMPERATURES = np.geomspace(0.5, 10, 151)
"""Not far below 1: held-out samples that are all answered rightly would ask for a confidence without end."""


@dataclass(frozen=True)
class Operation:
    """A network with exits, run with one threshold.

    Attributes:
        threshold: confidence from which an exit is taken.
        accuracy: share of the samples whose answer is right.
        macs: multiply-accumulates a sample, expected.
        early: share of the samples that leave before the end.
    """

    threshold: float
    accuracy: float
    macs: float
    early: float


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in double precision."""
    powers: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    likely: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return likely


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of logits [samples, classes] under which the labels are likeliest."""
    rows = np.arange(len(labels))

    def surprise(temperature: float) -> float:
        return float(-np.log(probabilities(logits / temperature)[rows, labels] + 1e-12).mean())

    return float(min(_TEMPERATURES, key=surprise))


def calibration_error(likely: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: distance of confidence from accuracy, in 15 bins (Guo et al., 2017, section 2).

    Args:
        likely: probabilities [samples, classes].
        labels: [samples].
    """
    confidence, right = likely.max(1), likely.argmax(1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((confidence - right)[bins == number].sum())) for number in range(_BINS)]
    return sum(gaps) / len(labels)


def operations(
    exits: Sequence[np.ndarray], final: np.ndarray, labels: np.ndarray, macs: Sequence[int], thresholds: Sequence[float]
) -> list[Operation]:
    """What the network does under each threshold.

    Args:
        exits: probabilities [samples, classes] of each exit, the nearest to the inputs first.
        final: scores of the end of the network, [samples, classes].
        labels: [samples].
        macs: multiply-accumulates up to each exit and to the end.
        thresholds: confidence from which an exit is taken.
    """
    found = []
    for threshold in thresholds:
        answers, spent = final.argmax(1), np.full(len(labels), macs[-1], np.float64)
        # The first exit has the last word: it is asked first.
        for likely, cost in reversed(list(zip(exits, macs, strict=False))):
            leaves = likely.max(1) >= threshold
            answers, spent = np.where(leaves, likely.argmax(1), answers), np.where(leaves, cost, spent)
        early = np.any([likely.max(1) >= threshold for likely in exits], axis=0)
        found.append(Operation(threshold, float((answers == labels).mean()), float(spent.mean()), float(early.mean())))
    return found
