"""Packing values with lifetimes into one arena.

Greedy by size: the largest value first, each at the smallest gap that is free during its whole life (Pisarchyk and Lee,
"Efficient memory management for deep neural net inference", 2020, section 5.2). Where that stays above what is live at
once, other orders are tried: by size times life, by life, and by first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgec.backends.tvm.constants import ALIGNMENT


@dataclass
class Lifetime:
    """A value of `size_bytes` that is needed from step `first` to step `last`, both included."""

    size_bytes: int
    first: int
    last: int

    @property
    def aligned_bytes(self) -> int:
        """Size up to the next address at which a value may begin."""
        return -(-self.size_bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Packing:
    """Offsets in the order of the lifetimes, and the size of the arena."""

    offsets: tuple[int, ...]
    size_bytes: int


_ORDERS: tuple[Callable[[Lifetime], Any], ...] = (
    lambda life: -life.aligned_bytes,
    lambda life: -life.aligned_bytes * (life.last - life.first + 1),
    lambda life: (life.first - life.last, -life.aligned_bytes),
    lambda life: (life.first, -life.aligned_bytes),
)


def pack(lives: Sequence[Lifetime]) -> Packing:
    """The smallest packing found; the first of equals, so that equal lifetimes give equal packings."""
    least = live_at_once(lives)
    best: Packing | None = None
    for order in _ORDERS:
        made = _packed(lives, order)
        if best is None or made.size_bytes < best.size_bytes:
            best = made
        if best.size_bytes == least:
            break
    return best or Packing((), 0)


def live_at_once(lives: Sequence[Lifetime]) -> int:
    """Bytes of all values that are live at the worst moment: no packing is smaller."""
    changes = [(life.first, life.aligned_bytes) for life in lives]
    changes += [(life.last + 1, -life.aligned_bytes) for life in lives]
    live = most = 0
    for _, change in sorted(changes):
        live += change
        most = max(most, live)
    return most


def _packed(lives: Sequence[Lifetime], order: Callable[[Lifetime], Any]) -> Packing:
    offsets = [0] * len(lives)
    placed: list[tuple[int, Lifetime]] = []
    for index in sorted(range(len(lives)), key=lambda index: order(lives[index])):
        life = lives[index]
        taken = [(offset, other.aligned_bytes) for offset, other in placed if _overlap(other, life)]
        offsets[index] = _lowest_gap(life.aligned_bytes, taken)
        placed.append((offsets[index], life))
    size = max((offset + life.aligned_bytes for offset, life in placed), default=0)
    return Packing(tuple(offsets), size)


def _overlap(one: Lifetime, other: Lifetime) -> bool:
    return one.first <= other.last and other.first <= one.last


def _lowest_gap(size: int, taken: list[tuple[int, int]]) -> int:
    """The smallest gap that is large enough, the lowest of equals; behind the last one if there is none."""
    best: tuple[int, int] | None = None
    end = 0
    for offset, length in sorted(taken):
        if offset - end >= size and (best is None or offset - end < best[0]):
            best = (offset - end, end)
        end = max(end, offset + length)
    return end if best is None else best[1]
