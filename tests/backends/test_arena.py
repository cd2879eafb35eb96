"""Packing lifetimes into an arena: nothing overlaps, and little is wasted."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from edgec.backends.tvm.arena import Lifetime, live_at_once, pack
from edgec.backends.tvm.constants import ALIGNMENT

LIVES = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size, first, first + length),
        st.integers(0, 4000),
        st.integers(0, 30),
        st.integers(0, 8),
    ),
    max_size=40,
)


@given(LIVES)
def test_values_that_live_at_once_lie_apart(lives: list[Lifetime]) -> None:
    packing = pack(lives)
    for (offset, life), (other_offset, other) in combinations(zip(packing.offsets, lives, strict=True), 2):
        if life.first <= other.last and other.first <= life.last:
            assert offset + life.size_bytes <= other_offset or other_offset + other.size_bytes <= offset
    assert all(offset % ALIGNMENT == 0 for offset in packing.offsets)


@given(LIVES)
def test_the_arena_is_little_larger_than_what_is_live_at_once(lives: list[Lifetime]) -> None:
    least = live_at_once(lives)
    assert least <= pack(lives).size_bytes <= 1.5 * least


def test_what_is_live_at_once_is_counted_with_both_ends() -> None:
    assert live_at_once([Lifetime(64, 0, 1), Lifetime(1, 1, 2), Lifetime(128, 2, 2)]) == 192
    assert live_at_once([]) == 0


def test_another_order_is_taken_where_the_largest_first_wastes_memory() -> None:
    one = ALIGNMENT
    lives = [Lifetime(3 * one, 0, 0), Lifetime(2 * one, 0, 1), Lifetime(2 * one, 1, 2), Lifetime(3 * one, 2, 2)]
    assert pack(lives).size_bytes == live_at_once(lives)
