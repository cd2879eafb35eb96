"""Whether minimal filtering pays for a convolution, by which matrices and in what strips: a model of its time.

The unit of time is a vector multiply-add, as in the choice of register tiles. Transforms count their loads, stores and
sums; weights, which grow by 16 / 9 or 4, count as streamed from memory; strips that outgrow the cache go through it.
The cost of a transform's step and the margin, which covers what the model is off by, come from
`benchmarks/winograd_constants.py`: on one x86 core with AVX-512 a step took 3.1 multiply-adds with everything in the
caches and 5.4 with weights and outputs outside; margins from 0.75 up all chose the fastest way of 14 layers that
is worth its memory.

Larger weights are a cost by themselves. A way must save, for every byte that it adds, the time of reading that byte
from memory twice; so of ways that are about as fast, the one that takes the least memory is chosen. Where memory would
not hold a network's weights several times over, none of its layers is filtered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Algorithm, Implementation
from edgec.backends.tvm.kernel_graph import ConvolutionTile
from edgec.backends.tvm.register_tile import choose_tile, lanes_of, tile_of
from edgec.backends.tvm.winograd import F2, F4, WINDOW, Filtering, Strips

_ELEMENT_BYTES = 4
TRANSFORM_STEP = 3.5
"""Time of a transform's step, in vector multiply-adds."""
MARGIN = 0.8
"""Share of the time of the direct sum below which minimal filtering is taken."""
_READS_SAVED = 2.0
"""A byte more must pay for itself in time for so many reads of it."""
_LARGEST_GROWTH = 4
_LARGEST_SHARE = 0.25
_FEWEST_CHANNELS = 8


@dataclass(frozen=True)
class FilteringChoice:
    """How a convolution is computed by minimal filtering.

    Attributes:
        strips: the matrices and the order of the tiles.
        tile: register tile of the products, rows along the tiles of a strip.
        cost: time in vector multiply-adds.
        price: the same, with what the bytes cost that it adds: larger weights, and a transformed strip.
    """

    strips: Strips
    tile: ConvolutionTile
    cost: float
    price: float


def weights_may_grow(weights_bytes: int, core: CoreDescription) -> bool:
    """Whether a network's weights, were all of them transformed, would leave most of the memory free.

    Args:
        weights_bytes: of the whole network.
        core: gives the memory that holds weights; of an unknown size it is large enough.
    """
    return core.weight_memory_bytes == 0 or _LARGEST_GROWTH * weights_bytes <= _LARGEST_SHARE * core.weight_memory_bytes


def choose_filtering(
    extents: Sequence[int], inputs: int, outputs: int, core: CoreDescription, direct_cost: float
) -> FilteringChoice | None:
    """The fastest way by minimal filtering; None if it does not beat the direct sum by a margin.

    Cores without vectors have none: their flash holds the weights, and growing those is worse than being slow.

    Args:
        extents: batch, height and width of the output.
        inputs: input channels.
        outputs: output channels.
        core: gives lanes, registers and caches.
        direct_cost: time of the direct sum in vector multiply-adds, without that for reading its weights.
    """
    if core.float_lanes == 1 or min(inputs, outputs) < _FEWEST_CHANNELS:
        return None
    direct = with_weights_read(direct_cost, inputs, outputs, core)
    candidates = [
        choice for filtering in (F2, F4) for choice in possible_filterings(filtering, extents, inputs, outputs, core)
    ]
    best = min(candidates, key=lambda choice: choice.price)
    return best if best.cost < MARGIN * direct and best.price < direct else None


def with_weights_read(direct_cost: float, inputs: int, outputs: int, core: CoreDescription) -> float:
    """Time of a direct sum in vector multiply-adds, with that for reading its weights; arguments as above."""
    return direct_cost + inputs * outputs * WINDOW**2 * _ELEMENT_BYTES / core.memory_bytes_per_multiply


def filtering_of(implementation: Implementation, extents: Sequence[int]) -> FilteringChoice | None:
    """The way that measurements chose for an output of (batch, height, width); None if that is the direct sum."""
    filtering = {Algorithm.FILTERING_2: F2, Algorithm.FILTERING_4: F4}.get(implementation.algorithm)
    if filtering is None:
        return None
    _, rows, columns = extents
    tile_rows, tile_columns = math.ceil(rows / filtering.outputs), math.ceil(columns / filtering.outputs)
    height = max(1, implementation.strip_height)
    strips = Strips(filtering, math.ceil(tile_rows / height), height, tile_columns)
    return FilteringChoice(strips, tile_of(implementation).tile, 0.0, 0.0)


def implementation_of(choice: FilteringChoice) -> Implementation:
    """A way by minimal filtering as the data that `filtering_of` takes."""
    filtering, tile = choice.strips.filtering, choice.tile
    return Implementation(
        algorithm=Algorithm.FILTERING_2 if filtering is F2 else Algorithm.FILTERING_4,
        row_axis=0,
        rows=tile.rows,
        vectors=tile.vectors,
        lanes=tile.lanes,
        strip_height=choice.strips.height,
    )


def possible_filterings(
    filtering: Filtering,
    extents: Sequence[int],
    inputs: int,
    outputs: int,
    core: CoreDescription,
    transform_step: float = TRANSFORM_STEP,
) -> Iterator[FilteringChoice]:
    """The ways to compute a convolution by some matrices, one a height of the strips.

    Args:
        filtering: the matrices.
        extents: batch, height and width of the output.
        inputs: input channels.
        outputs: output channels.
        core: gives lanes, registers and caches.
        transform_step: time of a transform's step, in vector multiply-adds.
    """
    batch, rows, columns = extents
    tile_rows, tile_columns = math.ceil(rows / filtering.outputs), math.ceil(columns / filtering.outputs)
    for height in range(1, tile_rows + 1):
        strips = Strips(filtering, math.ceil(tile_rows / height), height, tile_columns)
        yield _choice(strips, batch, inputs, outputs, core, transform_step)


def _choice(
    strips: Strips, batch: int, inputs: int, outputs: int, core: CoreDescription, transform_step: float
) -> FilteringChoice:
    filtering, count = strips.filtering, batch * strips.count
    lanes, places = lanes_of(core, _ELEMENT_BYTES), filtering.places
    choice = choose_tile((strips.tiles,), outputs, core)
    products = choice.cost * inputs * places**2
    vectors_in, vectors_out = math.ceil(inputs / lanes), math.ceil(outputs / lanes)
    steps_in = 2 * places**2 + 2 * places * filtering.outputs
    steps_out = places**2 + 2 * places * filtering.outputs + filtering.outputs**2
    transforms = transform_step * strips.tiles * (vectors_in * steps_in + vectors_out * steps_out)
    weights = inputs * outputs * places**2 * _ELEMENT_BYTES
    held = strips.tiles * places**2 * (inputs + choice.tile.block) * _ELEMENT_BYTES
    cache = core.l2_bytes or core.l1_data_bytes
    streamed = weights * (count if weights + held > cache else 1)
    spilled = 2 * held * count if held > cache else 0
    cost = count * (products + transforms) + (streamed + spilled) / core.memory_bytes_per_multiply
    added = weights + held - inputs * outputs * WINDOW**2 * _ELEMENT_BYTES
    return FilteringChoice(strips, choice.tile, cost, cost + _READS_SAVED * added / core.memory_bytes_per_multiply)
