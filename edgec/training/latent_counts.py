"""How often the integers of a latent occur, in groups of elements that have much the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.training.bottleneck_prior import HIGHEST, LOWEST

_MOST_GROUPS = 32
_ROUNDS = 12
_CHANNEL_WEIGHT, _PRIOR_WEIGHT = 16.0, 4.0
"""Symbols of the channel that every element is taken to have shown, and of the learnt prior that every channel is."""
_UNIT = 2**20
_SPARE = 4
"""Symbols beyond those that were seen, on either side, that can be sent too."""


@dataclass(frozen=True)
class LatentCounts:
    """What an entropy coder is to expect.

    Attributes:
        lowest: the first symbol; those below it and above the last one are to be sent as these.
        groups: for each element of the latent, row-major, the number of its group.
        counts: for each group how often each symbol is expected, in a common unit.
        bits: that a latent holds under them, mean over the samples that were counted.
    """

    lowest: int
    groups: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    bits: float

    @property
    def highest(self) -> int:
        """The last symbol."""
        return self.lowest + len(self.counts[0]) - 1


def count_symbols(latents: np.ndarray, prior: np.ndarray) -> LatentCounts:
    """Find the symbols that are worth a place in tables, groups of elements, and the frequencies of their symbols.

    What is seen at an element is joined by what is seen in its channel, and that by the learnt prior, so that few
    samples or a symbol that was never seen do no harm. Groups are those under whose frequencies the latents are short:
    k-means with bits as distances, begun with elements that the others serve worst.

    Args:
        latents: int8 [samples, channels, …].
        prior: probabilities of the symbols from −128 on, [channels, 256].
    """
    samples, channels = latents.shape[:2]
    flat = latents.reshape(samples, -1).astype(np.int64)
    lowest = max(LOWEST, int(flat.min()) - _SPARE)
    symbols = min(HIGHEST, int(flat.max()) + _SPARE) - lowest + 1
    elements = flat.shape[1]
    numbers = (np.arange(elements) * symbols + flat - lowest).ravel()
    seen = np.bincount(numbers, minlength=elements * symbols).reshape(elements, symbols).astype(np.float64)
    known = prior[:, lowest - LOWEST :][:, :symbols]
    of_channel = seen.reshape(channels, -1, symbols).sum(1) + _PRIOR_WEIGHT * known
    shares = (of_channel / of_channel.sum(1, keepdims=True)).repeat(elements // channels, axis=0)
    expected = (seen + _CHANNEL_WEIGHT * shares) / (samples + _CHANNEL_WEIGHT)
    groups = _grouped(expected, min(_MOST_GROUPS, elements))
    means = _means(expected, groups)
    bits = -float((seen * np.log2(np.maximum(means[groups], 1 / _UNIT))).sum() / samples)
    counts = np.rint(means * _UNIT).astype(np.int64)
    return LatentCounts(lowest, tuple(groups.tolist()), tuple(tuple(row) for row in counts.tolist()), bits)


def _grouped(expected: np.ndarray, count: int) -> np.ndarray:
    """The number of the group of each element; groups are numbered without gaps."""
    means, own = expected.mean(0, keepdims=True), _own_cost(expected)
    served = _cost(expected, means)[:, 0]
    for _ in range(count - 1):
        worst = expected[(served - own).argmax()]
        means, served = np.vstack([means, worst]), np.minimum(served, _cost(expected, worst[None])[:, 0])
    groups = _cost(expected, means).argmin(1)
    for _ in range(_ROUNDS):
        groups = np.unique(groups, return_inverse=True)[1]
        groups = _cost(expected, _means(expected, groups)).argmin(1)
    return np.unique(groups, return_inverse=True)[1]


def _means(expected: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.stack([expected[groups == group].mean(0) for group in range(groups.max() + 1)])


def _cost(expected: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Bits of each element under each mean, [elements, means]."""
    bits: np.ndarray = -expected @ np.log2(np.maximum(means, 1 / _UNIT)).T
    return bits


def _own_cost(expected: np.ndarray) -> np.ndarray:
    bits: np.ndarray = -(expected * np.log2(np.maximum(expected, 1 / _UNIT))).sum(1)
    return bits
