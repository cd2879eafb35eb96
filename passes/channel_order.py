"""An order of the channels of a layer in which the subsets that its readers want are contiguous, as far as possible.

A contiguous subset is picked by a Slice, which a backend can turn into a view; any other takes a Gather, a copy.
Source: Wan et al., UPSCALE, 2023, written from the paper: readers that overlap only with their neighbours form a path;
along it the shared channels stand between the exclusive ones; subsets within one segment are ordered in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

_MOST_READERS = 10
"""Readers of one group beyond which only the first are looked at: paths are searched exhaustively."""


def contiguous_order(members: frozenset[int], wanted: Sequence[frozenset[int]]) -> list[int]:
    """An order of the members in which as many of the wanted channels as possible stand in contiguous subsets."""
    subsets = [s for s in dict.fromkeys(w & members for w in wanted) if s and s != members][:_MOST_READERS]
    if not subsets:
        return sorted(members)
    outer = [s for s in subsets if not any(s < other for other in subsets)]
    path = _best_path(outer)
    inner = [s for s in subsets if s not in path]
    segments: list[frozenset[int]] = []
    for number, current in enumerate(path):
        before = path[number - 1] & current if number else frozenset()
        after = current & path[number + 1] if number + 1 < len(path) else frozenset()
        segments += [current - before - after, after]
    segments.append(members - frozenset().union(*path))
    return [member for segment in segments for member in contiguous_order(segment, inner)]


def _best_path(subsets: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """The path of subsets, each overlapping with its neighbours only, that covers the most channels."""
    best: list[frozenset[int]] = []
    covered = 0

    def extend(path: list[frozenset[int]], union: frozenset[int]) -> None:
        nonlocal best, covered
        if len(union) + len(path) > covered:
            best, covered = path, len(union) + len(path)
        earlier = frozenset().union(*path[:-1])
        for subset in subsets:
            if subset not in path and not subset & earlier:
                extend([*path, subset], union | subset)

    for subset in subsets:
        extend([subset], subset)
    return best
