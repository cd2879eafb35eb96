"""How many channels each group keeps: levels that suit the target, and three ways to choose among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from edgec.graph.channels import ChannelGroup, ChannelMap
from edgec.graph.channels_cost import PrunedCost

Goal = Callable[[np.ndarray], bool]
"""Whether enough is gone, given which classes are kept, (classes,), bool."""


class Allocation(StrEnum):
    """How the removed channels are spread over the groups.

    UNIFORM: the same share everywhere.
    GLOBAL: the least important ones, wherever they are.
    TARGET: step by step, where the predicted time saved on the target is largest for the importance lost.
    """

    UNIFORM = "uniform"
    GLOBAL = "global"
    TARGET = "target"


@dataclass(frozen=True, eq=False)
class Levels:
    """The numbers of channels that a group may keep.

    Attributes:
        group: the group.
        ranked: its removable classes, the most important first.
        keep: how many of them are kept at each level, descending; level 0 keeps all.
    """

    group: ChannelGroup
    ranked: np.ndarray
    keep: tuple[int, ...]

    @property
    def width(self) -> int:
        """All classes of the group, those that must stay included."""
        return int(self.ranked.size) + self.group.staying

    def removed(self, level: int) -> np.ndarray:
        """The classes that are gone at a level."""
        return self.ranked[self.keep[level] :]

    def level_of(self, wanted: float) -> int:
        """The lowest level that keeps at least as many classes as wanted, staying ones included."""
        return max(n for n, keep in enumerate(self.keep) if n == 0 or keep + self.group.staying >= wanted - 1e-9)


def levels_of(
    channels: ChannelMap,
    importance: np.ndarray,
    *,
    round_to: int,
    keep_at_least: float,
    widths: Mapping[str, int] | None = None,
) -> tuple[Levels, ...]:
    """The levels of every group that can lose channels.

    Args:
        channels: of the model.
        importance: of each class, (classes,).
        round_to: layers keep a multiple of this many channels, or all.
        keep_at_least: smallest share of the channels of a group that stays.
        widths: classes of the groups before anything was removed, by name; those that are there now if not given.
    """
    importance = importance.copy()
    for vector in channels.vectors():
        if not any(int(member) in channels.reasons for member in vector):
            importance[vector[importance[vector].argmax()]] = np.inf
    found = []
    for group in channels.groups:
        if group.removable.size == 0:
            continue
        ranked = group.removable[np.argsort(-importance[group.removable], kind="stable")]
        least = max(1, int(np.isinf(importance[ranked]).sum()))
        width = ranked.size + group.staying
        least = max(least, math.ceil(keep_at_least * (widths or {}).get(group.name, width)) - group.staying)
        step = _step(channels, group, round_to)
        totals = range(width - 1 - (width - 1) % step, 0, -step)
        keep = (ranked.size, *(n for total in totals if least <= (n := total - group.staying) < ranked.size))
        found.append(Levels(group, ranked, keep))
    return tuple(found)


def allocate(
    allocation: Allocation,
    levels: tuple[Levels, ...],
    importance: np.ndarray,
    cost: PrunedCost,
    goal: Goal,
    *,
    losses: bool = False,
) -> np.ndarray:
    """Choose a level for each group so that the goal is reached, or everything is gone that may go.

    Args:
        allocation: how the removal is spread.
        levels: of the groups.
        importance: of each class, (classes,).
        cost: of what is kept.
        goal: whether enough is gone.
        losses: whether the importance is what the model loses, so that groups can be compared by it; else it only ranks
            the classes of each group.

    Returns:
        For each class whether it is kept, (classes,), bool.
    """
    if allocation is Allocation.TARGET:
        return _by_time(levels, importance, cost, goal, losses=losses)
    if allocation is Allocation.UNIFORM:
        shares = np.linspace(0, 1, 201)
        return _smallest(
            lambda n: _kept(levels, importance.size, [_uniform(own, shares[n]) for own in levels]), 201, goal
        )
    everything = np.sort(np.concatenate([importance[own.ranked] for own in levels]) if levels else np.zeros(1))

    def below(number: int) -> np.ndarray:
        chosen = [
            own.level_of(own.group.staying + (importance[own.ranked] >= everything[number]).sum()) for own in levels
        ]
        return _kept(levels, importance.size, chosen)

    return _smallest(below, everything.size, goal)


def _uniform(own: Levels, removed: float) -> int:
    return own.level_of(own.width * (1 - removed))


def _smallest(choose: Callable[[int], np.ndarray], count: int, goal: Goal) -> np.ndarray:
    """What the smallest number chooses that reaches the goal; the last one if none does."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if goal(choose(middle)):
            high = middle
        else:
            low = middle + 1
    return choose(low)


def _by_time(
    levels: tuple[Levels, ...], importance: np.ndarray, cost: PrunedCost, goal: Goal, *, losses: bool
) -> np.ndarray:
    """Greedy: the step down with the most time saved for the importance lost, until the goal is reached."""
    chosen = [0] * len(levels)
    kept = np.ones(importance.size, bool)
    touched = [frozenset(cost.layers_of(own.ranked)) for own in levels]
    worth = [_worth(own, 0, kept, importance, cost, losses=losses) for own in levels]
    while not goal(kept) and levels:
        best = max(range(len(levels)), key=lambda number: worth[number])
        if worth[best] <= 0:
            break
        chosen[best] += 1
        kept[levels[best].removed(chosen[best])] = False
        for number, own in enumerate(levels):
            if touched[number] & touched[best]:
                worth[number] = _worth(own, chosen[number], kept, importance, cost, losses=losses)
    return _give_back(levels, chosen, importance.size, goal)


def _give_back(levels: tuple[Levels, ...], chosen: list[int], classes: int, goal: Goal) -> np.ndarray:
    """Undo steps that the goal does not need after all, in the groups that lost the largest share first."""
    kept = _kept(levels, classes, chosen)
    reached = goal(kept)
    left = [own.keep[level] / max(own.keep[0], 1) for own, level in zip(levels, chosen, strict=True)]
    for number in sorted(range(len(levels)), key=lambda number: left[number]):
        while reached and chosen[number] > 0:
            chosen[number] -= 1
            fuller = _kept(levels, classes, chosen)
            if not goal(fuller):
                chosen[number] += 1
                break
            kept = fuller
    return kept


def _worth(
    own: Levels, level: int, kept: np.ndarray, importance: np.ndarray, cost: PrunedCost, *, losses: bool
) -> float:
    """Seconds saved by the next level for the loss; 0 where there is no next level or nothing is saved."""
    if level + 1 >= len(own.keep):
        return 0.0
    going = own.ranked[own.keep[level + 1] : own.keep[level]]
    layers = cost.layers_of(going)
    after = kept.copy()
    after[going] = False
    saved = cost.seconds(kept, layers) - cost.seconds(after, layers)
    lost = _lost(own, level, importance) if losses else _lost_by_share(own, level, importance)
    return float(max(0.0, saved) / max(lost, 1e-12))


def _lost(own: Levels, level: int, importance: np.ndarray) -> float:
    """What goes with the next level; the fewer are left, the less can they make up for what goes with it."""
    left = (own.keep[level + 1] + own.group.staying) / own.width
    return float(importance[own.ranked[own.keep[level + 1] : own.keep[level]]].sum()) / left**2


def _lost_by_share(own: Levels, level: int, importance: np.ndarray) -> float:
    """The loss of a layer that is left with a share s of its importance is 1/s.

    So the second half of the channels costs more than the first, whatever their number; layers that lose the same
    channels all count.
    """
    whole = importance[own.ranked]
    # What must stay has no score; it counts as the average channel.
    total = whole.sum() * (1 + own.group.staying / whole.size)
    shares = [(total - whole[own.keep[n] :].sum()) / max(total, 1e-12) for n in (level, level + 1)]
    return float(1 / max(shares[1], 1e-6) - 1 / max(shares[0], 1e-6)) * len(own.group.producers)


def _kept(levels: tuple[Levels, ...], classes: int, chosen: list[int]) -> np.ndarray:
    kept = np.ones(classes, bool)
    for own, level in zip(levels, chosen, strict=True):
        kept[own.removed(level)] = False
    return kept


def _step(channels: ChannelMap, group: ChannelGroup, round_to: int) -> int:
    """Classes that make up a multiple of `round_to` channels of every layer of the group."""
    step = 1
    for axis in group.producers:
        per_class = axis.channels.size // np.unique(channels.classes.of(axis.channels)).size
        step = math.lcm(step, round_to // math.gcd(round_to, max(1, per_class)))
    return step
