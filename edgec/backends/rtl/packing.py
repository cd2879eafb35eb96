"""How a vector of integers lies in one Verilog bus: element 0 lowest, each as narrow as its range allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgec.backends.rtl.integer_graph import Integers, Interval, bits_of


@dataclass(frozen=True, eq=False)
class Packing:
    """A bus.

    Attributes:
        name: its Verilog name.
        interval: bounds of the elements.
    """

    name: str
    interval: Interval

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bits of each element."""
        return tuple(
            bits_of(int(low), int(high)) for low, high in zip(self.interval.low, self.interval.high, strict=True)
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Lowest bit of each element, and the width of the bus at the end."""
        return (0, *np.cumsum(self.widths).tolist())

    @property
    def bits(self) -> int:
        """Width of the bus."""
        return self.offsets[-1]

    def signed(self, element: int) -> bool:
        """Whether an element may be negative."""
        return bool(self.interval.low[element] < 0)

    def slice(self, element: int) -> str:
        """The bits of an element, as they lie."""
        return f"{self.name}[{self.offsets[element + 1] - 1}:{self.offsets[element]}]"

    def positive(self, element: int) -> str:
        """The bit that is 1 where an element of a signed kind is not negative."""
        return f"~{self.name}[{self.offsets[element + 1] - 1}]"

    def extended(self, element: int, width: int) -> str:
        """An element as two's complement of `width` bits; cut at the top where it is known to fit."""
        return resized(self.slice(element), self.widths[element], width, signed=self.signed(element))

    def placed(self, element: int) -> tuple[int, int]:
        """Lowest bit and width of an element."""
        return self.offsets[element], self.widths[element]


def resized(expression: str, width: int, wanted: int, *, signed: bool) -> str:
    """An indexable Verilog slice `name[high:low]` brought to another width, by its sign or by zeros."""
    name, _, place = expression.rstrip("]").partition("[")
    top, _, low = place.partition(":")
    if wanted < width:
        return f"{name}[{int(low) + wanted - 1}:{low}]"
    if wanted == width:
        return expression
    fill = f"{name}[{top}]" if signed else "1'b0"
    return f"{{{{{wanted - width}{{{fill}}}}}, {expression}}}"


def literal(value: int, width: int) -> str:
    """A Verilog constant in two's complement."""
    return f"{width}'d{value % (1 << width)}"


def pack(values: Integers, packing: Packing) -> list[int]:
    """Each row [N] as the integer that stands on the bus."""
    rows = []
    for row in values.tolist():
        word = 0
        for value, width, offset in zip(row, packing.widths, packing.offsets, strict=False):
            word |= (value & ((1 << width) - 1)) << offset
        rows.append(word)
    return rows
