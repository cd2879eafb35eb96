"""Minimal filtering for 3 x 3 convolutions of stride 1 (Winograd), as TE stages.

Tiles of m x m outputs are computed from (m + 2) x (m + 2) inputs: both the inputs and the weights are transformed, then
each of the (m + 2)^2 places is a matrix product of tiles by channels, and its results are transformed back. An output
takes (m + 2)^2 / m^2 multiplications a channel instead of 9: 4 for m = 2, 2.25 for m = 4.

After Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4; the matrices are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from edgec.backends.tvm.stages import AnchorLayout, Role

Tensor = Any
"""A TE tensor; TVM ships no types."""

Expression = Any
"""A TIR expression."""

WINDOW = 3
"""Taps along each axis."""

_Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Filtering:
    """F(m x m, 3 x 3): the matrices along one axis.

    Attributes:
        outputs: m.
        input: places x inputs, applied to the input tile.
        weights: places x taps, applied to the weights.
        output: outputs x places, applied to the sums.
        input_terms: indices of inputs whose terms rows of `input` have in common, but for a factor.
        output_terms: the same for `output`.
    """

    outputs: int
    input: _Matrix
    weights: _Matrix
    output: _Matrix
    input_terms: tuple[tuple[int, ...], ...]
    output_terms: tuple[tuple[int, ...], ...]

    @property
    def places(self) -> int:
        """Inputs along each axis of a tile, as many as the multiplications along it."""
        return self.outputs + WINDOW - 1

    def transform_weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights (outputs, inputs, 3, 3) as (outputs, inputs, places, places), computed in float64."""
        matrix = np.array(self.weights, np.float64)
        transformed: np.ndarray = matrix @ weights.astype(np.float64) @ matrix.T
        return np.asarray(transformed, weights.dtype)


F2 = Filtering(
    outputs=2,
    input=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    weights=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    output=((1, 1, 1, 0), (0, 1, -1, -1)),
    input_terms=((2, 0), (1, 3)),
    output_terms=((0,), (1, 2), (3,)),
)
"""F(2 x 2, 3 x 3)."""

F4 = Filtering(
    outputs=4,
    input=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    weights=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    output=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    input_terms=((4, 2, 0), (5, 3, 1)),
    output_terms=((0,), (1, 2), (3, 4), (5,)),
)
"""F(4 x 4, 3 x 3)."""


@dataclass(frozen=True)
class Strips:
    """How the tiles of an output are worked off: in strips of whole rows of tiles, so that a strip stays in the cache.

    Attributes:
        filtering: the matrices.
        count: strips of a sample.
        height: rows of tiles of a strip.
        width: tiles of a row.
    """

    filtering: Filtering
    count: int
    height: int
    width: int

    @property
    def tiles(self) -> int:
        """Tiles of a strip."""
        return self.height * self.width

    @property
    def covered(self) -> tuple[int, int]:
        """Spatial extents of the output that the tiles cover; its own are less or the same."""
        return self.count * self.height * self.filtering.outputs, self.width * self.filtering.outputs


def pack_transformed(transformed: np.ndarray, block: int) -> np.ndarray:
    """Weights (outputs, inputs, places, places) as (outputs / block, places^2, inputs, block), filled up with zeros."""
    outputs, inputs, *places = transformed.shape
    blocks = math.ceil(outputs / block)
    filled = np.zeros((blocks * block, inputs, math.prod(places)), transformed.dtype)
    filled[:outputs] = transformed.reshape(outputs, inputs, -1)
    return np.ascontiguousarray(filled.reshape(blocks, block, inputs, -1).transpose(0, 3, 2, 1))


def transformed_input(x: Tensor, strips: Strips) -> Tensor:
    """The input of shape (batch, covered + 2…, channels) as (batch, strips, places^2, tiles, channels)."""
    filtering, places, step = strips.filtering, strips.filtering.places, strips.filtering.outputs
    batch, _, across, channels = (int(extent) for extent in x.shape)

    def down(sample: Expression, row: Expression, place: Expression, column: Expression, channel: Expression) -> Any:  # noqa: ANN401
        inputs = [x(sample, row * step + index, column, channel) for index in range(places)]
        return _row_of_product(place, filtering.input, inputs, filtering.input_terms)

    shape = (batch, strips.count * strips.height, places, across, channels)
    half = te.compute(shape, down, name="input_down")

    def along(sample: Expression, strip: Expression, place: Expression, tile: Expression, channel: Expression) -> Any:  # noqa: ANN401
        row = strip * strips.height + tirx.floordiv(tile, strips.width)
        column = tirx.floormod(tile, strips.width) * step
        vertical = tirx.floordiv(place, places)
        inputs = [half(sample, row, vertical, column + index, channel) for index in range(places)]
        return _row_of_product(tirx.floormod(place, places), filtering.input, inputs, filtering.input_terms)

    return te.compute((batch, strips.count, places**2, strips.tiles, channels), along, name="input_along")


def tile_products(transformed: Tensor, packed: Tensor, layout: AnchorLayout) -> Tensor:
    """The matrix product at each place: (batch, strips, places^2, tiles, channels), these in whole blocks.

    Args:
        transformed: see `transformed_input`; channels beyond those of the weights are not read.
        packed: see `pack_transformed`.
        layout: the tile; its rows run along the tiles.
    """
    batch, count, places, tiles, _ = (int(extent) for extent in transformed.shape)
    blocks, _, inputs, block = (int(extent) for extent in packed.shape)
    channel = te.reduce_axis((0, inputs), "input_channel")

    def element(sample: Expression, strip: Expression, place: Expression, tile: Expression, output: Expression) -> Any:  # noqa: ANN401
        weight = packed(tirx.floordiv(output, block), place, channel, tirx.floormod(output, block))
        return te.sum(transformed(sample, strip, place, tile, channel) * weight, axis=channel)

    shape = (batch, count, places, tiles, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=layout.attributes(Role.WINOGRAD))


def transformed_output(products: Tensor, strips: Strips) -> Tensor:
    """The sums of shape (batch, covered…, channels) from `tile_products`."""
    filtering, places, step = strips.filtering, strips.filtering.places, strips.filtering.outputs
    batch, _, _, tiles, channels = (int(extent) for extent in products.shape)

    def down(
        sample: Expression,
        strip: Expression,
        row: Expression,
        place: Expression,
        tile: Expression,
        channel: Expression,
    ) -> Any:  # noqa: ANN401
        inputs = [products(sample, strip, index * places + place, tile, channel) for index in range(places)]
        return _row_of_product(row, filtering.output, inputs, filtering.output_terms)

    half = te.compute((batch, strips.count, step, places, tiles, channels), down, name="output_down")

    def along(sample: Expression, row: Expression, column: Expression, channel: Expression) -> Any:  # noqa: ANN401
        tile_row = tirx.floordiv(row, step)
        strip = tirx.floordiv(tile_row, strips.height)
        tile = tirx.floormod(tile_row, strips.height) * strips.width + tirx.floordiv(column, step)
        inputs = [half(sample, strip, tirx.floormod(row, step), index, tile, channel) for index in range(places)]
        return _row_of_product(tirx.floormod(column, step), filtering.output, inputs, filtering.output_terms)

    return te.compute((batch, *strips.covered, channels), along, name="output_along")


def _row_of_product(
    row: Expression, matrix: _Matrix, vector: Sequence[Expression], terms: Sequence[Sequence[int]]
) -> Expression:
    """Element `row` of a matrix by a vector; the loop over `row` is to be unrolled, which leaves one of the cases."""
    dtype = str(vector[0].ty.dtype)
    *others, value = [_weighted_sum(coefficients, vector, terms, dtype) for coefficients in matrix]
    for index in reversed(range(len(others))):
        value = tirx.Select(tirx.EQ(row, index), others[index], value)
    return value


def _weighted_sum(
    coefficients: Sequence[float], vector: Sequence[Expression], terms: Sequence[Sequence[int]], dtype: str
) -> Expression:
    """The weighted sum, each group of terms divided by its first coefficient, so that rows have whole groups alike."""
    total: Expression = None
    for group in terms:
        used = [index for index in group if coefficients[index]]
        if not used:
            continue
        factor = coefficients[used[0]]
        inner: Expression = None
        for index in used:
            inner = _plus(inner, coefficients[index] / factor, vector[index], dtype)
        total = _plus(total, factor, inner, dtype)
    return total


def _plus(total: Expression, factor: float, value: Expression, dtype: str) -> Expression:
    """`total + factor * value`; no total counts as zero."""
    if total is not None and factor < 0:
        return total - _times(-factor, value, dtype)
    scaled = _times(factor, value, dtype)
    return scaled if total is None else total + scaled


def _times(factor: float, value: Expression, dtype: str) -> Expression:
    return value if factor == 1 else value * tirx.const(factor, dtype)
