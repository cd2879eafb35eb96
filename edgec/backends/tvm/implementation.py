"""How a contraction is computed, as data: what is chosen, for what, and the choices that measurements have made.

A contraction (convolution or matrix product) may be computed by several algorithms, register tiles and loop orders. The
cost model chooses among them in milliseconds; a choice found here, made by measurement, goes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

_Extents = tuple[int, ...]


class Record(BaseModel):
    """Data that may come from a file: checked, and not to be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContractionKind(StrEnum):
    """What is summed: input channels and taps, taps within a channel, or the depth of a matrix product."""

    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise"
    PRODUCT = "product"


class Algorithm(StrEnum):
    """The direct sum, or minimal filtering with tiles of 2 x 2 or 4 x 4 outputs."""

    DIRECT = "direct"
    FILTERING_2 = "filtering-2"
    FILTERING_4 = "filtering-4"


class LoopOrder(StrEnum):
    """What stays in the cache while the other streams past it: as the sizes suggest, the input, or the weights."""

    BY_SIZE = "by-size"
    INPUT_STAYS = "input-stays"
    WEIGHTS_STAY = "weights-stay"


class Contraction(Record):
    """All that decides how a contraction is best computed, but for the core and the threads.

    Attributes:
        kind: what is summed.
        dtype: of the input.
        result: of the output.
        extents: of the output before its channels, the batch first.
        channels: output channels, or columns of a product.
        inputs: input channels, or depth of a product; 1 for depthwise ones.
        kernel: taps along each spatial axis; empty for a product, as the following ones.
        strides: of the window.
        dilations: of the window.
        pads: before each spatial axis, then after each.
    """

    kind: ContractionKind
    dtype: str
    result: str
    extents: _Extents
    channels: int
    inputs: int
    kernel: _Extents = ()
    strides: _Extents = ()
    dilations: _Extents = ()
    pads: _Extents = ()


class Implementation(Record):
    """A way to compute a contraction.

    Attributes:
        algorithm: how the sums are had.
        row_axis: output axis that the rows of the register tile run along.
        rows: output positions of a register tile.
        vectors: vectors of output channels of a register tile.
        lanes: elements of a vector.
        strip_height: rows of tiles that are filtered at a time; 0 for direct sums.
        order: of the loops around the tile; only direct sums have a choice.
    """

    algorithm: Algorithm = Algorithm.DIRECT
    row_axis: int = Field(ge=0, le=16)
    rows: int = Field(ge=1, le=64)
    vectors: int = Field(ge=1, le=64)
    lanes: int = Field(ge=1, le=256)
    strip_height: int = Field(default=0, ge=0, le=2**20)
    order: LoopOrder = LoopOrder.BY_SIZE


@dataclass(frozen=True)
class Choice:
    """A contraction of a network and how it is computed there."""

    contraction: Contraction
    implementation: Implementation


Choices = Mapping[Contraction, Implementation]
"""What to take instead of the cost model's choice."""

NO_CHOICES: Choices = MappingProxyType({})
"""The cost model chooses everything."""
