"""Putting the channels of a model into an order in which what its layers read is contiguous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelGroup, ChannelMap
from edgec.passes.channel_consecutive import heaviest_family
from edgec.passes.channel_copies import consumed_axes, copied_bytes, picked_inputs
from edgec.passes.channel_order import contiguous_order
from edgec.passes.channel_subsets import SubsetChooser, Subsets
from edgec.passes.graph_edit import Names, add_constant, constant, graph_of


@dataclass(frozen=True, eq=False)
class Reordering:
    """The order that was chosen.

    Attributes:
        subsets: what is made and read, in terms of the new places.
        place_of: the class whose place each class took, (classes,), int.
        by_paths: bytes of the subsets that are not contiguous, for each inference, in the order of UPSCALE.
        by_families: the same in the order for the family of subsets with the most bytes.
    """

    subsets: Subsets
    place_of: np.ndarray
    by_paths: int
    by_families: int


def reorder(model: ir.Model, channels: ChannelMap, subsets: Subsets) -> Reordering:
    """Permute the channels of every group in place where that is possible.

    Two orders are tried, that of `channel_order` and that of `channel_consecutive`; the one that leaves less to copy is
    taken. The model computes the same: weights that make channels and those that read them are permuted alike.
    `channels` stays valid, since a class is a place, which another channel now takes.
    """
    place_of = np.arange(channels.classes.count)
    copied = np.zeros(2, np.int64)
    picks = picked_inputs(channels, subsets.kept, subsets.read)
    orderable = 0
    for group in channels.groups:
        sequence = _sequence(channels, group)
        if sequence is None:
            continue
        present = frozenset(sequence[subsets.kept[sequence]].tolist())
        weights: dict[frozenset[int], float] = {}
        for pick in picks:
            wanted = frozenset(pick.members.tolist())
            if wanted <= present and len(wanted) == pick.members.size:
                weights[wanted] = weights.get(wanted, 0) + pick.bytes
        orders = contiguous_order(present, list(weights)), heaviest_family(sorted(present), weights).order()
        left = [_copied(order, weights) for order in orders]
        copied += left
        orderable += round(sum(weights.values()))
        chosen = orders[left.index(min(left))]
        place_of[chosen + [int(c) for c in sequence if not subsets.kept[c]]] = sequence
    if not (place_of == np.arange(place_of.size)).all():
        _permute_constants(channels, place_of, Names(model))
    # What belongs to several groups, or to one that cannot be ordered, is copied unless it is a range already.
    copied += copied_bytes(picks, ranges=True) - orderable
    placed = subsets.moved(place_of)
    return Reordering(placed, place_of, int(copied[0]), int(copied[1]))


def read_ranges(channels: ChannelMap, chooser: SubsetChooser, subsets: Subsets) -> tuple[Subsets, float]:
    """Let layers whose subset is not contiguous read the range of the same size that matters most to them.

    Only where all that a layer can read belongs to one group: the features of a concatenation are as many groups as
    parts, and all of these matter.

    Returns:
        The subsets, and the share of what the subsets mattered that the ranges have, over the layers that changed.
    """
    read = dict(subsets.read)
    axes, wanted_sum, got_sum = consumed_axes(channels), 0.0, 0.0
    groups = {int(member): number for number, group in enumerate(channels.groups) for member in group.removable}
    for pick in picked_inputs(channels, subsets.kept, subsets.read):
        members = channels.classes.of(axes[pick.nodes[0]].channels)
        made = members[subsets.kept[members]]
        if (
            pick.contiguous
            or len({groups.get(int(member)) for member in made}) != 1
            or np.unique(made).size < made.size
        ):
            continue
        for node in pick.nodes:
            scores = chooser.scores[node][made]
            sums = np.convolve(scores, np.ones(pick.places.size), "valid")
            first = int(sums.argmax())
            mask = np.zeros_like(read[node])
            mask[made[first : first + pick.places.size]] = True
            read[node] = mask
            wanted_sum += float(scores[pick.places].sum())
            got_sum += float(sums[first])
    return Subsets(chooser.made_for(read), read), got_sum / wanted_sum if wanted_sum else 1.0


def _copied(order: list[int], weights: Mapping[frozenset[int], float]) -> int:
    place = {member: number for number, member in enumerate(order)}
    spans = {wanted: [place[member] for member in wanted] for wanted in weights}
    return round(sum(weights[w] for w, places in spans.items() if max(places) - min(places) >= len(places)))


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
