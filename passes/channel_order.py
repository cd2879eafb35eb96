"""An order of the channels of a layer in which the subsets that its readers want are contiguous, as far as possible.

A contiguous subset is picked by a Slice, which a backend can turn into a view; any other takes a Gather, a copy.
Source: Wan et al., UPSCALE, 2023, written from the paper: readers that overlap only with their neighbours form a path;
along it the shared channels stand between the exclusive ones; subsets within one segment are ordered in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelGroup, ChannelMap
from edgec.passes.channel_subsets import Subsets
from edgec.passes.graph_edit import Names, add_constant, constant, graph_of

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


def reorder(model: ir.Model, channels: ChannelMap, subsets: Subsets) -> Subsets:
    """Permute the channels of every group in place where that is possible; the subsets in terms of the new places.

    The model computes the same: weights that make channels and those that read them are permuted alike. `channels`
    stays valid, since a class is a place, which another channel now takes.
    """
    names = Names(model)
    place_of = np.arange(channels.classes.count)
    for group in channels.groups:
        sequence = _sequence(channels, group)
        if sequence is None:
            continue
        present = frozenset(int(c) for c in sequence if subsets.kept[c])
        wanted = [frozenset(np.flatnonzero(mask).tolist()) for mask in subsets.read.values()]
        order = contiguous_order(present, wanted) + [int(c) for c in sequence if not subsets.kept[c]]
        place_of[order] = sequence
    if (place_of == np.arange(place_of.size)).all():
        return subsets
    _permute_constants(channels, place_of, names)

    def moved(mask: np.ndarray) -> np.ndarray:
        result = np.empty_like(mask)
        result[place_of] = mask
        return result

    return Subsets(moved(subsets.kept), {node: moved(mask) for node, mask in subsets.read.items()})


def _sequence(channels: ChannelMap, group: ChannelGroup) -> np.ndarray | None:
    """The classes of a group in their order, if they stand in this order, whole and together, wherever they occur."""
    sequence = channels.classes.of(group.producers[0].channels)
    if group.staying or np.unique(sequence).size != sequence.size or sequence.size != group.removable.size:
        return None
    inside = np.zeros(channels.classes.count, bool)
    inside[sequence] = True
    vectors = [channels.classes.of(axis.channels) for axis in channels.constant_axes]
    vectors += [channels.classes.of(value.ravel()) for value in channels.values.values()]
    for vector in vectors:
        where = np.flatnonzero(inside[vector])
        if where.size == 0:
            continue
        runs = where.reshape(-1, sequence.size) if where.size % sequence.size == 0 else None
        if runs is None or (np.diff(runs, axis=1) != 1).any() or (vector[runs] != sequence).any():
            return None
    return sequence


def _permute_constants(channels: ChannelMap, place_of: np.ndarray, names: Names) -> None:
    for axis in channels.constant_axes:
        members = channels.classes.of(axis.channels)
        if (place_of[members] == members).all():
            continue
        # Every run of a group is permuted within itself: the channel at `members[i]` moves to where its place stands.
        source = np.empty(members.size, np.int64)
        taken: dict[int, list[int]] = {}
        for index, member in enumerate(members.tolist()):
            taken.setdefault(member, []).append(index)
        turn = dict.fromkeys(taken, 0)
        for index, member in enumerate(members.tolist()):
            place = int(place_of[member])
            source[taken[place][turn[member]]] = index
            turn[member] += 1
        contents = constant(axis.node.inputs[axis.input])
        if contents is None:
            continue
        old = axis.node.inputs[axis.input]
        permuted = np.take(contents, source, axis=axis.axis)
        name = names.fresh(f"{'' if old is None else old.name}.reordered")
        axis.node.replace_input_with(axis.input, add_constant(graph_of(axis.node), name, permuted))
        if old is not None and not old.uses() and old.is_initializer() and old.graph is not None:
            old.graph.initializers.pop(str(old.name))
