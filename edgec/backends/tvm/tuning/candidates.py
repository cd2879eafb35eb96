"""The ways to compute a contraction that are worth measuring, the one that the cost model likes best first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgec.backends.tvm.contraction import accumulator_of
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Contraction, ContractionKind, Implementation, LoopOrder
from edgec.backends.tvm.register_tile import TileChoice, possible_tiles, possible_windowed_tiles
from edgec.backends.tvm.winograd import F2, F4, WINDOW
from edgec.backends.tvm.winograd_choice import implementation_of, possible_filterings

_ELEMENT_BYTES = 4
_OF_A_SHAPE = 3
_MOST = 64
_WORST = 2.0
_TILES_IN_BOTH_ORDERS = 6
_COST_OF_OTHER_ORDER = 1.1
_STRIPS_KEPT = 4


@dataclass(frozen=True)
class _Candidate:
    implementation: Implementation
    cost: float


def candidates(contraction: Contraction, core: CoreDescription) -> tuple[Implementation, ...]:
    """Ways to compute a contraction in the order of their predicted times.

    Those predicted far behind others with the same algorithm are left out; which algorithm is best is for measurements.
    """
    kinds = (sorted(kind, key=_rank) for kind in (_direct(contraction, core), _filtered(contraction, core)))
    near = [way for kind in kinds for way in kind if way.cost <= _WORST * kind[0].cost]
    return tuple(candidate.implementation for candidate in sorted(near, key=_rank)[:_MOST])


def is_possible(contraction: Contraction, implementation: Implementation, core: CoreDescription) -> bool:
    """Whether a core can compute a contraction so; records come from files, which may say anything."""
    if implementation.strip_height:
        return implementation in _filterings(contraction, core)
    if implementation.row_axis >= len(contraction.extents):
        return False
    wanted = (implementation.row_axis, implementation.rows, implementation.vectors, implementation.lanes)
    return wanted == _SMALLEST or any(
        wanted == (choice.row_axis, choice.tile.rows, choice.tile.vectors, choice.tile.lanes)
        for choice in _tiles(contraction, core)
    )


_SMALLEST = (0, 1, 1, 1)
"""What is left for a core whose registers hold no tile."""


def _rank(candidate: _Candidate) -> tuple[float, str]:
    return candidate.cost, candidate.implementation.model_dump_json()


def _tiles(contraction: Contraction, core: CoreDescription) -> Iterator[TileChoice]:
    item_bytes = np.dtype(accumulator_of(contraction.dtype, core)).itemsize
    extents, channels = contraction.extents, contraction.channels
    if contraction.kind is ContractionKind.DEPTHWISE:
        return possible_windowed_tiles(extents, channels, core, item_bytes)
    return possible_tiles(extents, channels, core, item_bytes, 0)


def _direct(contraction: Contraction, core: CoreDescription) -> Iterator[_Candidate]:
    kept: dict[tuple[int, int, int], int] = {}
    depth = contraction.inputs * math.prod(contraction.kernel)
    weights = contraction.channels * depth * _ELEMENT_BYTES / core.memory_bytes_per_multiply
    ordered = sorted(_tiles(contraction, core), key=lambda choice: (choice.cost, -choice.row_axis))
    for place, choice in enumerate(ordered):
        shape = (choice.row_axis, choice.tile.vectors, choice.tile.lanes)
        kept[shape] = kept.get(shape, 0) + 1
        if kept[shape] > _OF_A_SHAPE:
            continue
        cost = choice.cost * depth + weights
        yield _Candidate(_implementation(choice, LoopOrder.BY_SIZE), cost)
        if place < _TILES_IN_BOTH_ORDERS and _has_orders(contraction):
            yield _Candidate(_implementation(choice, _other_order(contraction)), cost * _COST_OF_OTHER_ORDER)


def _implementation(choice: TileChoice, order: LoopOrder) -> Implementation:
    tile = choice.tile
    return Implementation(row_axis=choice.row_axis, rows=tile.rows, vectors=tile.vectors, lanes=tile.lanes, order=order)


def _has_orders(contraction: Contraction) -> bool:
    """Whether there are loops besides the rows and the channels, so that their order matters."""
    return contraction.kind is not ContractionKind.DEPTHWISE and len(contraction.extents) > 2


def _other_order(contraction: Contraction) -> LoopOrder:
    """The order that the sizes do not suggest."""
    spatial = contraction.extents[1:] if contraction.kernel else ()
    windows = zip(spatial, contraction.kernel, contraction.strides, contraction.dilations, strict=True)
    places = math.prod((extent - 1) * stride + (taps - 1) * dilation + 1 for extent, taps, stride, dilation in windows)
    data = contraction.inputs * contraction.extents[0] * places if spatial else contraction.inputs
    data *= 1 if contraction.kernel else math.prod(contraction.extents)
    weights = contraction.channels * contraction.inputs * math.prod(contraction.kernel)
    return LoopOrder.INPUT_STAYS if weights > data else LoopOrder.WEIGHTS_STAY


def _filterings(contraction: Contraction, core: CoreDescription) -> Iterator[Implementation]:
    if _can_be_filtered(contraction, core):
        for filtering in (F2, F4):
            ways = possible_filterings(filtering, contraction.extents, contraction.inputs, contraction.channels, core)
            yield from (implementation_of(way) for way in ways)


def _filtered(contraction: Contraction, core: CoreDescription) -> Iterator[_Candidate]:
    if not _can_be_filtered(contraction, core):
        return
    for filtering in (F2, F4):
        ways = possible_filterings(filtering, contraction.extents, contraction.inputs, contraction.channels, core)
        best = sorted(ways, key=lambda way: (way.cost, way.price))[:_STRIPS_KEPT]
        yield from (_Candidate(implementation_of(way), way.cost) for way in best)


def _can_be_filtered(contraction: Contraction, core: CoreDescription) -> bool:
    return (
        contraction.kind is ContractionKind.CONVOLUTION
        and (contraction.dtype, contraction.result) == ("float32", "float32")
        and contraction.kernel == (WINDOW, WINDOW)
        and {*contraction.strides, *contraction.dilations} == {1}
        and core.float_lanes > 1
    )
