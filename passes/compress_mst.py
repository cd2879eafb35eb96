"""Pass `compress-mst`: binary layers computed along spanning trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult
from edgec.graph.difference_storage import store
from edgec.graph.spanning_tree import SpanningTree, pareto_front, random_share, spanning_tree
from edgec.passes.binary_layers import BinaryLayer, find_binary_layers

PARENTS, INVERTED = "edgec.tree.parents", "edgec.tree.inverted"
"""Metadata of a node: for each output channel, in order, the one in its group that it follows from (−1 for a root), and
1 where it follows from the complement."""

_NO_BETTER_THAN_RANDOM = 0.98


class CompressMstOptions(PassOptions):
    """Options of `compress-mst`."""

    complements: bool = Field(default=True, description="let a channel follow from the complement of another too")
    most_depth: int = Field(
        default=0, ge=0, description="edges from the root of a tree at most, for short pipelines; 0: no bound"
    )
    front: bool = Field(default=False, description="show for each layer what other depths would cost")


@dataclass(frozen=True)
class TreeCost:
    """What the trees of one layer cost in one inference.

    Attributes:
        dense: products of single bits without trees.
        kept: those that are left.
        random: those that trees over random weights would leave.
        dense_bits: parameters.
        tree_bits: parameters with differences stored in their smallest form, parents and complements included.
        depth: of the deepest tree.
        forms: how many channels are stored in which form.
    """

    dense: int
    kept: int
    random: float
    dense_bits: int
    tree_bits: int
    depth: int
    forms: Counter[str]


class CompressMst(Pass):
    """Order the output channels of binary layers in a tree, so that each is computed from its neighbour.

    Case 1: Conv, Gemm and MatMul whose weights are ±magnitude, a magnitude for each channel: from BipolarQuant,
        DequantizeLinear or as plain constants. One tree a group.
    Case 2: with `complements`, a channel that nearly is the opposite of another follows from it.
    Case 3: with `most_depth`, a heavier tree that is not deeper.

    The sums stay the same integers, so outputs are the same bits. The trees are metadata of the nodes, for logic: a
    difference that is not computed there is logic that is not there. Processors compute 64 to 512 products of single
    bits in one instruction wherever they lie, so scattered differences save them nothing, and their kernels ignore the
    trees.

    Source: Vo et al., "MST-compression", ICCV 2023.
    """

    name: ClassVar[str] = "compress-mst"
    kind: ClassVar[Kind] = Kind.BINARY_EXACT
    Options: ClassVar[type[PassOptions]] = CompressMstOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Annotate the binary layers in place."""
        options = self.options if isinstance(self.options, CompressMstOptions) else CompressMstOptions()
        layers, skips = find_binary_layers(model)
        stats: dict[str, int | float | str] = {"binary layers": len(layers)}
        costs: list[TreeCost] = []
        for layer in layers:
            trees = [
                spanning_tree(signs, complements=options.complements, most_depth=options.most_depth or None)
                for signs in layer.signs
            ]
            _annotate(layer, trees)
            costs.append(tree_cost(layer, trees, complements=options.complements))
            stats[layer.name] = _row(costs[-1])
            if options.front:
                stats[f"{layer.name}, depth: share kept"] = _front(layer, complements=options.complements)
        stats |= _totals(costs)
        return PassResult(model, bool(layers), stats, tuple(skips), _assumptions(layers, costs))


def tree_cost(layer: BinaryLayer, trees: Sequence[SpanningTree], *, complements: bool = True) -> TreeCost:
    """The cost of a layer, and of random weights of its size.

    Args:
        layer: binary.
        trees: one for each group.
        complements: whether random weights may use them too.
    """
    groups, channels, width = layer.signs.shape
    forms: Counter[str] = Counter()
    bits = groups * channels * (max(1, (channels - 1).bit_length()) + 1)
    for signs, tree in zip(layer.signs, trees, strict=True):
        for channel, different in enumerate(tree.differences(signs)):
            if tree.parents[channel] < 0:
                bits += width
                continue
            stored = store(different)
            bits += len(stored.bits)
            forms[stored.form.name.lower()] += 1
    dense = layer.signs.size * layer.positions
    kept = sum(tree.operations for tree in trees) * layer.positions
    floor = random_share(channels, width, complements=complements)
    return TreeCost(dense, kept, floor * dense, layer.signs.size, bits, max(tree.depth for tree in trees), forms)


def _annotate(layer: BinaryLayer, trees: Sequence[SpanningTree]) -> None:
    parents = np.concatenate([tree.parents for tree in trees])
    inverted = np.concatenate([tree.inverted for tree in trees]).astype(np.int64)
    layer.node.metadata_props[PARENTS] = " ".join(map(str, parents.tolist()))
    layer.node.metadata_props[INVERTED] = " ".join(map(str, inverted.tolist()))


def _row(cost: TreeCost) -> str:
    forms = ", ".join(f"{count} as {form}" for form, count in sorted(cost.forms.items()))
    return (
        f"{cost.kept / cost.dense:.3f} of {cost.dense:,} products (random weights: {cost.random / cost.dense:.3f}), "
        f"depth {cost.depth}, {cost.tree_bits:,} of {cost.dense_bits:,} parameter bits ({forms})"
    )


def _front(layer: BinaryLayer, *, complements: bool) -> str:
    """Of the first group, as an example of the others."""
    signs = layer.signs[0]
    trees = pareto_front(signs, complements=complements)
    return ", ".join(f"{tree.depth}: {tree.operations / signs.size:.3f}" for tree in trees)


def _totals(costs: Sequence[TreeCost]) -> dict[str, int | float | str]:
    if not costs:
        return {}
    dense, kept = sum(cost.dense for cost in costs), sum(cost.kept for cost in costs)
    return {
        "products of single bits": dense,
        "products kept": kept,
        "share kept": round(kept / dense, 4),
        "share kept of random weights": round(sum(cost.random for cost in costs) / dense, 4),
        "parameter bits": sum(cost.dense_bits for cost in costs),
        "parameter bits with trees": sum(cost.tree_bits for cost in costs),
        "deepest tree": max(cost.depth for cost in costs),
    }


def _assumptions(layers: Sequence[BinaryLayer], costs: Sequence[TreeCost]) -> tuple[str, ...]:
    made = []
    real = [layer.name for layer in layers if not layer.bipolar_input]
    if real:
        made.append(f"inputs of {', '.join(real)} have more than one bit: its products are sums with signs, not XNORs")
    plain = [
        layer.name
        for layer, cost in zip(layers, costs, strict=True)
        if cost.kept > _NO_BETTER_THAN_RANDOM * cost.random
    ]
    if plain:
        made.append(f"trees of {', '.join(plain)} are no better than those of random weights")
    return tuple(made)
