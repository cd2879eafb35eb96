"""Unconstrained pruning: every layer reads its own subset of the channels that are there.

A channel is made as long as one layer reads it; a layer that does not read all of them has them picked in front of it.
Source: Wan et al., UPSCALE: Unconstrained Channel Pruning, 2023, written from the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import ConstantAxis, Role
from edgec.passes.graph_edit import constant


@dataclass(frozen=True, eq=False)
class Subsets:
    """What is made and what is read.

    Attributes:
        kept: whether each class is made, (classes,), bool.
        read: for the layers that choose, whether they read each class, (classes,), bool.
    """

    kept: np.ndarray
    read: Mapping[ir.Node, np.ndarray]

    def moved(self, place_of: np.ndarray) -> Subsets:
        """The same once every class takes the place of another one, (classes,), int."""
        return Subsets(moved(self.kept, place_of), {node: moved(mask, place_of) for node, mask in self.read.items()})


def moved(by_class: np.ndarray, place_of: np.ndarray) -> np.ndarray:
    """What is said of each class, (classes,), once every class takes the place of another one."""
    result = np.empty_like(by_class)
    result[place_of] = by_class
    return result


class SubsetChooser:
    """Chooses the subsets for a share of removed channels.

    Args:
        channels: of the model.
        least: smallest share of its inputs that a layer reads.
        round_to: layers read a multiple of this many channels, or all.
        scores: what each class matters to a layer, as the attribute; by its weights for layers that are missing.

    Attributes:
        scores: for the layers that choose, what each class matters to them, (classes,), float; negative if they cannot
            read it.
    """

    def __init__(
        self,
        channels: ChannelMap,
        *,
        least: float,
        round_to: int,
        scores: Mapping[ir.Node, np.ndarray] | None = None,
    ) -> None:
        self._channels = channels
        self._least = least
        self._round_to = round_to
        self._readers = [axis for axis in channels.constant_axes if _chooses(axis)]
        given = scores or {}
        self.scores = {
            axis.node: given[axis.node] if axis.node in given else self._score(axis) for axis in self._readers
        }

    def moved(self, place_of: np.ndarray) -> SubsetChooser:
        """The same once every class takes the place of another one, (classes,), int."""
        scores = {node: moved(own, place_of) for node, own in self.scores.items()}
        return SubsetChooser(self._channels, least=self._least, round_to=self._round_to, scores=scores)

    def choose(self, removed: float) -> Subsets:
        """Every layer drops the given share of its inputs, those with the smallest weights."""
        read = {axis.node: self._read(axis, removed) for axis in self._readers}
        return Subsets(self.made_for(read), read)

    def made_for(self, read: Mapping[ir.Node, np.ndarray]) -> np.ndarray:
        """Whether each class has to be made if layers read these subsets, (classes,), bool."""
        kept = np.zeros(self._channels.classes.count, bool)
        kept[list(self._channels.reasons)] = True
        for mask in read.values():
            kept |= mask
        chosen = set(read)
        for contraction in self._channels.contractions:
            if contraction.node not in chosen and contraction.groups is None:
                kept[self._channels.classes.of(contraction.factors[0])] = True
        for vector in self._channels.vectors():
            if not kept[vector].any():
                kept[vector[0]] = True
        self._fill_vectors(kept)
        return kept

    def _fill_vectors(self, kept: np.ndarray) -> None:
        """Make layers up to whole vectors, in place: what fills the last one costs nothing to compute."""
        for group in self._channels.groups:
            members = self._channels.classes.of(group.producers[0].channels)
            missing = -int(np.count_nonzero(kept[members])) % self._round_to
            absent = group.removable[~kept[group.removable]]
            per_class = max(1, members.size // np.unique(members).size)
            kept[absent[: -(-missing // per_class)]] = True

    def until(self, goal: Callable[[Subsets], bool]) -> Subsets:
        """The subsets for the smallest share that reaches the goal, in steps of half a percent; else for all."""
        low, high = 0, 200
        while low < high:
            middle = (low + high) // 2
            if goal(self.choose(middle / 200)):
                high = middle
            else:
                low = middle + 1
        return self.choose(low / 200)

    def _score(self, axis: ConstantAxis) -> np.ndarray:
        """What each class matters to a layer, by the weights that read it; negative for classes that it cannot read."""
        weights = constant(axis.node.inputs[axis.input])
        members = self._channels.classes.of(axis.channels)
        scores = np.full(self._channels.classes.count, -1.0)
        scores[members] = 0.0
        if weights is not None:
            rows = np.moveaxis(weights, axis.axis, 0).reshape(members.size, -1).astype(np.float64)
            np.add.at(scores, members, np.square(rows).sum(axis=1))
        return scores

    def _read(self, axis: ConstantAxis, removed: float) -> np.ndarray:
        scores = self.scores[axis.node]
        readable = int(np.count_nonzero(scores >= 0))
        wanted = max(1, math.ceil(readable * max(1 - removed, self._least)))
        wanted = min(readable, -(-wanted // self._round_to) * self._round_to)
        mask = np.zeros(scores.size, bool)
        mask[np.argsort(-scores, kind="stable")[:wanted]] = True
        return mask


def _chooses(axis: ConstantAxis) -> bool:
    """Layers without groups, on the channels of a computed value."""
    return axis.role is Role.CONSUMES and axis.node.attributes.get_int("group", 1) == 1
