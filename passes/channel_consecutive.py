"""Orders in which given sets of channels are contiguous: exactly which families of sets allow one, and an order.

Source: Booth and Lueker, Testing for the Consecutive Ones Property, Interval Graphs, and Graph Planarity Using PQ-Tree
Algorithms, 1976. The tree is rebuilt from whole subtrees instead of by their templates: slower, but a layer has
hundreds of channels, not millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_MOST_TRIES = 3000
"""Sets that are added to a tree, over all families tried, before the best family so far is taken."""


class _NotContiguousError(Exception):
    """A set cannot be contiguous together with those before it."""


@dataclass(frozen=True, eq=False)
class _Tree:
    """A set of orders of some members.

    Attributes:
        members: all of them.
        children: empty for a single member.
        fixed: whether the order of the children is fixed up to reversal (a Q-node), or free (a P-node).
    """

    members: frozenset[int]
    children: tuple[_Tree, ...] = ()
    fixed: bool = False

    def order(self) -> list[int]:
        """One of the orders."""
        if not self.children:
            return list(self.members)
        return [member for child in self.children for member in child.order()]


class ConsecutiveOrders:
    """All orders of some members in which the sets that were required are contiguous; immutable."""

    def __init__(self, members: Iterable[int]) -> None:
        self._tree = _free([_Tree(frozenset([member])) for member in members])

    def require(self, wanted: frozenset[int]) -> ConsecutiveOrders | None:
        """Those of the orders in which another set is contiguous; None if there is none."""
        found = ConsecutiveOrders(())
        try:
            found._tree = _reduce(self._tree, wanted)
        except _NotContiguousError:
            return None
        return found

    def order(self) -> list[int]:
        """One of the orders."""
        return self._tree.order()


def heaviest_family(members: Sequence[int], weights: Mapping[frozenset[int], float]) -> ConsecutiveOrders:
    """The orders in which sets of the largest total weight are contiguous.

    Found by branch and bound over the sets, heavier ones first: exact unless thousands of families have to be tried,
    as with a dozen unrelated sets; then the best one so far, which is at least as good as the greedy one.
    """
    sets = sorted(weights, key=lambda wanted: (-weights[wanted], sorted(wanted)))
    best, best_weight, tries = ConsecutiveOrders(members), 0.0, 0

    def extend(orders: ConsecutiveOrders, number: int, weight: float) -> None:
        nonlocal best, best_weight, tries
        if weight > best_weight:
            best, best_weight = orders, weight
        remaining = sum(weights[wanted] for wanted in sets[number:])
        if number == len(sets) or weight + remaining <= best_weight or tries >= _MOST_TRIES:
            return
        tries += 1
        if (narrower := orders.require(sets[number])) is not None:
            extend(narrower, number + 1, weight + weights[sets[number]])
        extend(orders, number + 1, weight)

    extend(best, 0, 0.0)
    return best


def _reduce(tree: _Tree, wanted: frozenset[int]) -> _Tree:
    """The orders of a tree that holds all of the wanted members, with these contiguous."""
    if tree.members <= wanted or not wanted:
        return tree
    touched = [number for number, child in enumerate(tree.children) if not child.members.isdisjoint(wanted)]
    if len(touched) == 1:
        inner = _reduce(tree.children[touched[0]], wanted)
        children = (*tree.children[: touched[0]], inner, *tree.children[touched[0] + 1 :])
        return _Tree(tree.members, children, tree.fixed)
    if not tree.fixed:
        empty = [child for number, child in enumerate(tree.children) if number not in set(touched)]
        run = _run([tree.children[number] for number in touched], wanted, gather=True)
        return _free([*empty, _in_order(run)])
    first, last = touched[0], touched[-1]
    if touched != list(range(first, last + 1)):
        raise _NotContiguousError
    run = _run(list(tree.children[first : last + 1]), wanted, gather=False)
    return _in_order([*tree.children[:first], *run, *tree.children[last + 1 :]])


def _run(touched: list[_Tree], wanted: frozenset[int], *, gather: bool) -> list[_Tree]:
    """Children with wanted members in a row: partial ones at the ends, their wanted members towards the middle."""
    partial = [child for child in touched if not child.members <= wanted]
    if gather:
        full = [child for child in touched if child.members <= wanted]
        if len(partial) > 2:
            raise _NotContiguousError
        touched = [*partial[:1], *([_free(full)] if full else []), *partial[1:]]
    elif any(child in partial for child in touched[1:-1]):
        raise _NotContiguousError
    row: list[_Tree] = []
    for number, child in enumerate(touched):
        if child.members <= wanted:
            row.append(child)
        elif number == 0:
            row += _towards_end(child, wanted)
        else:
            row += reversed(_towards_end(child, wanted))
    return row


def _towards_end(tree: _Tree, wanted: frozenset[int]) -> list[_Tree]:
    """The parts of a tree in a row, its wanted members last."""
    if tree.members <= wanted or tree.members.isdisjoint(wanted):
        return [tree]
    children = list(tree.children)
    if tree.fixed:
        if children[0].members <= wanted or children[-1].members.isdisjoint(wanted):
            children.reverse()
        kinds = [_kind(child, wanted) for child in children]
        if kinds != sorted(kinds) or kinds.count(1) > 1:
            raise _NotContiguousError
        return [part for child in children for part in _towards_end(child, wanted)]
    groups: tuple[list[_Tree], list[_Tree], list[_Tree]] = ([], [], [])
    for child in children:
        groups[_kind(child, wanted)].append(child)
    empty, partial, full = groups
    if len(partial) > 1:
        raise _NotContiguousError
    row = [_free(empty)] if empty else []
    row += _towards_end(partial[0], wanted) if partial else []
    return [*row, _free(full)] if full else row


def _kind(tree: _Tree, wanted: frozenset[int]) -> int:
    """0 if nothing of a tree is wanted, 1 if a part is, 2 if all is."""
    if tree.members.isdisjoint(wanted):
        return 0
    return 2 if tree.members <= wanted else 1


def _free(children: Sequence[_Tree]) -> _Tree:
    return _joined(children, fixed=False)


def _in_order(children: Sequence[_Tree]) -> _Tree:
    return _joined(children, fixed=True)


def _joined(children: Sequence[_Tree], *, fixed: bool) -> _Tree:
    if len(children) == 1:
        return children[0]
    members: frozenset[int] = frozenset().union(*(child.members for child in children))
    return _Tree(members, tuple(children), fixed)
