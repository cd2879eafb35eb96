"""Spanning trees over binary weights: each output channel is computed from another one and the weights that differ.

Source: Vo et al., "MST-compression: Compressing and Accelerating Binary Neural Networks with Minimum Spanning Tree",
ICCV 2023. With signs s of N weights a channel, D the places where channel j differs from its parent i, and x the input:

    s_j · x = s_i · x + 2 Σ_{n in D} s_jn x_n

Where j is closer to the complement of i, both signs of i are turned round. Edges then weigh min(d, N − d), which is N
less the magnitude of the signs' product, halved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SpanningTree:
    """How the channels of a layer follow from each other.

    Attributes:
        parents: int64 [K], the channel that each one is computed from; −1 at the root.
        inverted: bool [K], whether it is computed from the complement of its parent.
        distances: int64 [K], weights that differ from the parent (or its complement); N at the root.
        levels: int64 [K], edges between the root and each channel.
    """

    parents: Integers
    inverted: NDArray[np.bool_]
    distances: Integers
    levels: Integers

    @property
    def order(self) -> Integers:
        """The channels, each behind its parent: level by level."""
        return np.argsort(self.levels, kind="stable")

    @property
    def depth(self) -> int:
        """Edges on the longest path from the root."""
        return int(self.levels.max())

    @property
    def operations(self) -> int:
        """Products of single bits (XNOR) for one output position."""
        return int(self.distances.sum())

    def differences(self, signs: Signs) -> NDArray[np.bool_]:
        """Which weights [K, N] are computed for each channel: all of the root's, elsewhere those that differ."""
        turned = np.where(self.inverted, -1, 1)[:, None].astype(np.int8)
        different: NDArray[np.bool_] = signs != signs[self.parents] * turned
        different[self.parents < 0] = True
        return different


def hamming_distances(signs: Signs) -> NDArray[np.int32]:
    """Weights in which each two channels differ, int32 [K, K].

    Args:
        signs: int8 [K, N] of −1 and +1; N up to 2**24, so that sums are exact in float32.
    """
    real = signs.astype(np.float32)
    differing: NDArray[np.int32] = ((signs.shape[1] - real @ real.T) / 2).astype(np.int32)
    return differing


def spanning_tree(signs: Signs, *, complements: bool = True, most_depth: int | None = None) -> SpanningTree:
    """The lightest tree (Prim, 1957), rooted at its centre; of equal edges those that keep it shallow.

    With a bound on the depth a tree that keeps it and is light: Prim's algorithm with only such edges, from the
    centre of the lightest tree and from the channel that is closest to all, whichever is lighter.

    Args:
        signs: int8 [K, N] of −1 and +1.
        complements: whether a channel may follow from the complement of another.
        most_depth: edges from the root at most, 1 or more; None for no bound.
    """
    differing = hamming_distances(signs)
    width = signs.shape[1]
    inverted = (2 * differing > width) & complements
    weights = np.where(inverted, width - differing, differing).astype(np.int64)
    lightest = _centred(_grow(weights, _centre(_grow(weights, 0, None)), None))
    parents = lightest
    if most_depth is not None and _levels(lightest).max() > most_depth:
        roots = (int(np.argmin(lightest)), int(weights.sum(axis=1).argmin()))
        candidates = [_grow(weights, root, most_depth) for root in roots]
        parents = min(candidates, key=lambda tree: int(_edge_weights(weights, tree).sum()))
    return _finished(weights, inverted, width, parents)


def pareto_front(signs: Signs, *, complements: bool = True) -> list[SpanningTree]:
    """Trees of rising depth and falling weight, none of which another one beats in both; the lightest is the last."""
    front = [spanning_tree(signs, complements=complements)]
    best = spanning_tree(signs, complements=complements, most_depth=1)
    shallow = [best]
    for depth in range(2, front[0].depth):
        tree = spanning_tree(signs, complements=complements, most_depth=depth)
        if tree.operations < best.operations:
            shallow.append(tree)
            best = tree
    return [tree for tree in shallow if tree.operations > front[0].operations and tree.depth < front[0].depth] + front


def tree_products(signs: Signs, tree: SpanningTree, x: NDArray[np.integer]) -> Integers:
    """`x @ signs.T` in the order of the tree, exactly; int64 [P, K].

    Args:
        signs: int8 [K, N].
        tree: over its channels.
        x: integers [P, N]: −1 and +1, 0 for padding, or any others.
    """
    wide = x.astype(np.int64)
    sums = np.zeros((len(x), len(signs)), np.int64)
    for channel, different in zip(tree.order, tree.differences(signs)[tree.order], strict=True):
        own = wide[:, different] @ signs[channel, different].astype(np.int64)
        parent = int(tree.parents[channel])
        if parent < 0:
            sums[:, channel] = own
        else:
            sums[:, channel] = (-1 if tree.inverted[channel] else 1) * sums[:, parent] + 2 * own
    return sums


def random_share(channels: int, width: int, *, complements: bool = True, seed: int = 0) -> float:
    """The share of products that a tree leaves of random weights: what a layer must beat for its tree to mean anything.

    Args:
        channels: K.
        width: N.
        complements: as for the tree that it is compared with.
        seed: of the weights.
    """
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (channels, width))
    return spanning_tree(signs, complements=complements).operations / (channels * width)


def _grow(weights: Integers, root: int, most_depth: int | None) -> Integers:
    """Parents [K] of a tree from a root; of equal edges the one whose parent is nearest to the root."""
    count = len(weights)
    parents = np.full(count, -1, np.int64)
    levels = np.zeros(count, np.int64)
    never = np.iinfo(np.int64).max
    cost = np.full(count, never)
    outside = np.ones(count, bool)
    newest = root
    outside[root] = False
    for _ in range(count - 1):
        if most_depth is None or levels[newest] < most_depth:
            offered = weights[newest] * count + levels[newest]
            better = outside & (offered < cost)
            cost[better] = offered[better]
            parents[better] = newest
        newest = int(np.where(outside, cost, never).argmin())
        outside[newest] = False
        levels[newest] = levels[parents[newest]] + 1
    return parents


def _levels(parents: Integers) -> Integers:
    """Edges to the root, int64 [K], by doubling the jumps."""
    root = int(np.argmin(parents))
    ahead = np.where(parents < 0, root, parents)
    levels = (parents >= 0).astype(np.int64)
    while (ahead != root).any():
        levels, ahead = levels + levels[ahead], ahead[ahead]
    return levels


def _rooted(parents: Integers, root: int) -> Integers:
    """The same tree from another root: the edges on the way to it are turned round."""
    turned = parents.copy()
    channel, parent = root, -1
    while channel >= 0:
        above = int(turned[channel])
        turned[channel] = parent
        channel, parent = above, channel
    return turned


def _centre(parents: Integers) -> int:
    """The middle of the longest path."""
    one_end = int(_levels(parents).argmax())
    away = _rooted(parents, one_end)
    levels = _levels(away)
    middle = int(levels.argmax())
    for _ in range(int(levels.max()) // 2):
        middle = int(away[middle])
    return middle


def _centred(parents: Integers) -> Integers:
    return _rooted(parents, _centre(parents))


def _edge_weights(weights: Integers, parents: Integers) -> Integers:
    return np.where(parents < 0, 0, weights[np.arange(len(parents)), parents])


def _finished(weights: Integers, inverted: NDArray[np.bool_], width: int, parents: Integers) -> SpanningTree:
    own = np.arange(len(parents))
    distances = np.where(parents < 0, width, weights[own, parents])
    turned = (parents >= 0) & inverted[own, parents]
    return SpanningTree(parents, turned, distances, _levels(parents))
