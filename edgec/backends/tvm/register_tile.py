"""Choice of the register tile of a contraction: how many output rows and channels one inner loop computes.

The accumulators of a tile stay in vector registers for the whole reduction. A larger tile loads less for each
multiplication, a tile that fits the extents wastes less, and fewer than eight accumulators leave the multiply-add
pipelines waiting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Implementation
from edgec.backends.tvm.kernel_graph import ConvolutionTile

_ACCUMULATORS_IN_FLIGHT = 8
_FLOAT_BYTES = 4
_HALF_BYTES = 2
_MOST_VECTORS = 8
_MOST_WINDOWED_VECTORS = 4
_ROW_COST = 0.25
_SHARED_LOADS = 4.0
"""Time to load what all channels of a block share, in multiplications of a thread; set by hand."""
_WEIGHT_COST = 0.5
_WEIGHT_STREAM = 3.2


@dataclass(frozen=True)
class TileChoice:
    """A register tile and where it goes.

    Attributes:
        row_axis: output axis, counted among those before the channels, that the rows run along.
        tile: the register tile.
        cost: time of one step of the reduction over the whole output, in vector multiply-adds; for comparisons.
    """

    row_axis: int
    tile: ConvolutionTile
    cost: float


def lanes_of(core: CoreDescription, dtype_bytes: int) -> int:
    """Elements of `dtype_bytes` bytes in a vector register; 1 without a vector unit."""
    if core.float_lanes == 1:
        return 1
    if dtype_bytes == _HALF_BYTES and core.multiplies_halves:
        return 2 * core.float_lanes
    return max(1, core.float_lanes * 4 // max(4, dtype_bytes))


def _cost_of_rows(rows: int, vectors: int) -> float:
    """Time of one step of the reduction over one tile, in multiply-adds of which two start at a time."""
    work = max(rows * vectors, _ACCUMULATORS_IN_FLIGHT, _WEIGHT_STREAM * vectors)
    return work + _ROW_COST * rows + _WEIGHT_COST * vectors


def _cost(extent: int, rows: int, vectors: int, blocks: int) -> float:
    """Time of one pass over an axis of `extent`; a last, shorter tile costs as much as a whole one."""
    return math.ceil(extent / rows) * _cost_of_rows(rows, vectors) * blocks


def choose_tile(
    extents: Sequence[int], channels: int, core: CoreDescription, *, dtype_bytes: int = 4, channel_multiple: int = 0
) -> TileChoice:
    """The tile for a contraction with outputs of shape (*extents, channels).

    Args:
        extents: of the output axes before the channels.
        channels: output channels.
        core: gives the lanes and the registers.
        dtype_bytes: of an accumulator.
        channel_multiple: a block may not straddle multiples of this (channels of a group); 0 if it may.
    """
    if core.channel_blocks:
        return _block_of_group(extents, channels, core, channel_multiple)
    best: tuple[float, int, int, int] | None = None
    choice: TileChoice | None = None
    for possible in possible_tiles(extents, channels, core, dtype_bytes, channel_multiple):
        tile = possible.tile
        covered = math.ceil(channels / tile.block) * tile.block
        rank = (round(possible.cost, 3), covered, tile.rows * tile.vectors, -possible.row_axis)
        if best is None or rank < best:
            best, choice = rank, possible
    if choice is None:
        cost = float(math.prod(extents) * channels)
        return TileChoice(max(0, len(extents) - 1), ConvolutionTile(1, 1, 1), cost)
    return choice


def _block_of_group(extents: Sequence[int], channels: int, core: CoreDescription, channel_multiple: int) -> TileChoice:
    """The block of channels for a group of threads: large ones share more loads, small ones waste fewer channels."""
    lanes = core.float_lanes
    fitting = [block for block in core.channel_blocks if not channel_multiple or channel_multiple % block == 0]
    if not fitting:
        return TileChoice(max(0, len(extents) - 1), ConvolutionTile(1, 1, 1), _cost_of_block(extents, channels, 1))
    block = min(fitting, key=lambda count: (_cost_of_block(extents, channels, count), -count))
    tile = ConvolutionTile(1, block // lanes, lanes)
    return TileChoice(max(0, len(extents) - 1), tile, _cost_of_block(extents, channels, block))


def _cost_of_block(extents: Sequence[int], channels: int, block: int) -> float:
    """Multiplications over the whole output, those for surplus channels too, and the loads that a block shares."""
    return math.prod(extents) * math.ceil(channels / block) * (block + _SHARED_LOADS)


def possible_tiles(
    extents: Sequence[int], channels: int, core: CoreDescription, dtype_bytes: int, channel_multiple: int
) -> Iterator[TileChoice]:
    """Every tile that fits the registers; arguments as for `choose_tile`."""
    registers = core.vector_registers
    widest = lanes_of(core, dtype_bytes)
    for lanes in (widest >> shift for shift in range(widest.bit_length())):
        for vectors in range(1, _MOST_VECTORS + 1):
            block = lanes * vectors
            if channel_multiple and channel_multiple % block:
                continue
            blocks = math.ceil(channels / block)
            for axis, extent in enumerate(extents):
                others = math.prod(extents) // max(1, extent)
                for rows in range(1, min(extent, registers) + 1):
                    factors = rows if core.multiplies_by_lane and dtype_bytes <= _FLOAT_BYTES else 1
                    if rows * vectors + vectors + factors > registers:
                        break
                    cost = others * _cost(extent, rows, vectors, blocks)
                    yield TileChoice(axis, ConvolutionTile(rows, vectors, lanes), cost)


def tile_of(implementation: Implementation) -> TileChoice:
    """The tile of a choice that measurements made; without a cost, as nothing is left to compare."""
    tile = ConvolutionTile(implementation.rows, implementation.vectors, implementation.lanes)
    return TileChoice(implementation.row_axis, tile, 0.0)


def windowed_tile(
    extents: Sequence[int], channels: int, window: int, core: CoreDescription, *, dtype_bytes: int = 4, lanes: int = 0
) -> ConvolutionTile:
    """The tile for a contraction within each channel (depthwise convolution): rows run along the last of `extents`.

    Args:
        extents: of the output axes before the channels.
        channels: number of channels.
        window: taps along the last spatial axis, whose weights want registers too.
        core: gives the lanes and the registers.
        dtype_bytes: of an accumulator.
        lanes: of a vector; 0 for as many as a register has of accumulators, or fewer where the channels are few.
    """
    if not lanes:
        lanes = lanes_of(core, dtype_bytes)
        while lanes > 1 and channels <= lanes // 2:
            lanes //= 2
    free = max(2, core.vector_registers - min(window, core.vector_registers // 4) - 2)
    most = max(1, min(extents[-1], free // 2))
    rows = min(range(1, most + 1), key=lambda count: (_cost(extents[-1], count, 1, 1), count))
    vectors = 2 if rows <= 4 and core.vector_registers >= 24 and channels % (2 * lanes) == 0 else 1
    return ConvolutionTile(rows, vectors, lanes)


def possible_windowed_tiles(
    extents: Sequence[int], channels: int, core: CoreDescription, dtype_bytes: int
) -> Iterator[TileChoice]:
    """Tiles for a contraction within each channel, beyond the ones that `windowed_tile` considers."""
    lanes = lanes_of(core, dtype_bytes)
    while lanes > 1 and channels <= lanes // 2:
        lanes //= 2
    for vectors in range(1, _MOST_WINDOWED_VECTORS + 1):
        blocks = math.ceil(channels / (lanes * vectors))
        for rows in range(1, min(extents[-1], core.vector_registers) + 1):
            if rows * vectors + vectors + 1 > core.vector_registers:
                break
            cost = math.prod(extents[:-1]) * _cost(extents[-1], rows, vectors, blocks)
            yield TileChoice(len(extents) - 1, ConvolutionTile(rows, vectors, lanes), cost)
