"""Which channels stand and fall together: equivalence classes over the channels of a whole network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Channels = np.ndarray
"""Numbers of channels, int64; 0 stands for what is no channel (an element of a constant)."""


@dataclass(frozen=True, eq=False)
class ResolvedClasses:
    """The classes once everything is known.

    Attributes:
        class_of: class of every channel, (channels,), int64; class 0 holds what is no channel.
        count: number of classes, class 0 included.
        reasons: why a class must stay, for those that must.
    """

    class_of: np.ndarray
    count: int
    reasons: dict[int, str]

    def of(self, channels: Channels) -> np.ndarray:
        """The classes of channels, in the shape of `channels`."""
        return np.asarray(self.class_of[channels])


class ChannelClasses:
    """Collects channels, ties between them, and reasons to keep them; resolved at the end in one go."""

    def __init__(self) -> None:
        self._count = 1
        self._ties: list[np.ndarray] = []
        self._frozen: list[tuple[np.ndarray, str]] = []

    def new(self, count: int) -> Channels:
        """Fresh channels, (count,)."""
        first = self._count
        self._count += count
        return np.arange(first, self._count, dtype=np.int64)

    def tie(self, left: Channels, right: Channels) -> None:
        """Declare that channels can only be removed together, pair by pair; the shapes are broadcast.

        What is no channel ties nothing.
        """
        a, b = np.broadcast_arrays(left, right)
        different = (a != b) & (a > 0) & (b > 0)
        if different.any():
            self._ties.append(np.unique(np.stack([a[different], b[different]], axis=1), axis=0))

    def freeze(self, channels: Channels, reason: str) -> None:
        """Declare that channels must stay."""
        present = np.unique(channels)
        self._frozen.append((present[present > 0], reason))

    def resolve(self) -> ResolvedClasses:
        """Number the classes in the order of their first channel."""
        pairs = np.concatenate(self._ties) if self._ties else np.zeros((0, 2), np.int64)
        _, class_of = np.unique(connected_components(self._count, pairs), return_inverse=True)
        reasons: dict[int, str] = {0: "it is constant"}
        for channels, reason in self._frozen:
            for number in np.unique(class_of[channels]):
                reasons.setdefault(int(number), reason)
        return ResolvedClasses(class_of.astype(np.int64), int(class_of.max()) + 1, reasons)


def connected_components(count: int, pairs: np.ndarray) -> np.ndarray:
    """The smallest member of the component of every one of `count` elements.

    Args:
        count: number of elements.
        pairs: elements that are connected, (pairs, 2).

    Returns:
        (count,), int64. Roots are lowered along the pairs and paths halved until nothing moves, whole arrays at a
        time: the scheme of Shiloach and Vishkin, An O(log n) parallel connectivity algorithm, 1982.
    """
    root = np.arange(count, dtype=np.int64)
    left, right = pairs[:, 0], pairs[:, 1]
    while (root[left] != root[right]).any():
        lower = np.minimum(root[left], root[right])
        np.minimum.at(root, root[left], lower)
        np.minimum.at(root, root[right], lower)
        while ((shorter := root[root]) != root).any():
            root = shorter
    return root
