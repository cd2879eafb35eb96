"""Sums of single bits as logic: by full adders that keep their carries, or along the carry chains of look-up tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

_SMALL_TABLE, _LARGE_TABLE = 3, 6
_CHAINED_TABLES = 5
"""More of them take fewer tables and a longer way."""


@dataclass
class BitSums(ABC):
    """Statements of a module while they are written.

    Attributes:
        lines: so far.
        cost: of the sums so far: full and half adders, or look-up tables with those of carry chains.
        wires: names so far.
    """

    lines: list[str] = field(default_factory=list)
    cost: int = 0
    wires: int = 0

    @abstractmethod
    def add(self, number: Sequence[str], bits: Sequence[str], width: int) -> tuple[str, ...]:
        """Wires of `number + sum(bits)` modulo 2**width, the lowest first, `width` of them.

        Args:
            number: wires of at most `width` bits, the lowest first; none for 0.
            bits: wires, each worth 1; the first are carries into chains, where inverted ones take tables of their own.
            width: of the result.
        """

    def register(self, bits: Sequence[str]) -> tuple[str, ...]:
        """The bits one clock cycle later."""
        if not bits:
            return ()
        held = tuple(self._name("r") for _ in bits)
        self.lines.append(f"reg {', '.join(held)};")
        moves = " ".join(f"{new} <= {old};" for new, old in zip(held, bits, strict=True))
        self.lines.append(f"always @(posedge clk) begin {moves} end")
        return held

    def _name(self, letter: str) -> str:
        self.wires += 1
        return f"{letter}{self.wires}"


class FullAdders(BitSums):
    """Sums by full and half adders, for cells that have them and no carry chains.

    Source: Dadda, "Some schemes for parallel multipliers", 1965; here each column is finished before the next, with
    the bits that arrived first added first, which keeps the tree as shallow.
    """

    def add(self, number: Sequence[str], bits: Sequence[str], width: int) -> tuple[str, ...]:
        """See `BitSums`."""
        result = []
        columns = [[bit] for bit in number] + [[] for _ in range(width - len(number))]
        columns[0] += bits
        for weight, column in enumerate(columns):
            while len(column) > 1:
                taken, column[:] = column[:3], column[3:]
                total, carry = self._adder(taken)
                column.append(total)
                if weight + 1 < width:
                    columns[weight + 1].append(carry)
            result.append(column[0] if column else "1'b0")
        return tuple(result)

    def _adder(self, taken: list[str]) -> tuple[str, str]:
        total, carry = self._name("s"), self._name("c")
        self.cost += 1
        pairs = [(a, b) for at, a in enumerate(taken) for b in taken[at + 1 :]]
        majority = " | ".join(f"({a} & {b})" for a, b in pairs)
        self.lines.append(f"wire {total} = {' ^ '.join(taken)}; wire {carry} = {majority};")
        return total, carry


@dataclass
class CarryChains(BitSums):
    """Sums by small tables, and by adders with one more bit at the carry in, for field-programmable gate arrays.

    A full adder takes two look-up tables there, and a bit of a carry chain one. Tables of six inputs hold more: the one
    in front of a chain computes the sum bit of a chain's operand and of a count of five other bits.

    Attributes:
        inputs: of a look-up table.
    """

    inputs: int = 4

    def add(self, number: Sequence[str], bits: Sequence[str], width: int) -> tuple[str, ...]:
        """See `BitSums`."""
        if number and bits:
            carry, *rest = bits
            total = self._chain(number, self._count(rest), carry, width)
        else:
            total = tuple(number) or self._count(bits)
        return (*total, *["1'b0"] * width)[:width]

    def _count(self, bits: Sequence[str]) -> tuple[str, ...]:
        large = self.inputs >= _LARGE_TABLE
        if len(bits) <= (_LARGE_TABLE if large else _SMALL_TABLE):
            self.cost += len(bits).bit_length() if len(bits) > 1 else 0
            return self._table(bits)
        if large and len(bits) <= (1 + _CHAINED_TABLES) * _LARGE_TABLE:
            return self._chained_tables(bits)
        carry, *rest = bits
        return self._chain(self._count(rest[::2]), self._count(rest[1::2]), carry, len(bits).bit_length())

    def _chained_tables(self, bits: Sequence[str]) -> tuple[str, ...]:
        """A count in a table, and on top of it one chain after the other, whose own tables count five bits more."""
        chains = -(-len(bits) // _LARGE_TABLE) - 1
        carries, rest = bits[:chains], bits[chains:]
        total = self._count(rest[:_LARGE_TABLE])
        for chain, carry in enumerate(carries):
            first = _LARGE_TABLE + chain * (_LARGE_TABLE - 1)
            counted = self._table(rest[first : first + _LARGE_TABLE - 1])
            total = self._chain(total, counted, carry, len(bits).bit_length(), in_tables=True)
        return total

    def _table(self, bits: Sequence[str]) -> tuple[str, ...]:
        """How many of at most six bits are 1, as a table for each bit of the number."""
        if len(bits) <= 1:
            return tuple(bits)
        row, rows = self._name("t"), 1 << len(bits)
        self.lines.append(f"wire [{len(bits) - 1}:0] {row} = {_concatenated(bits)};")
        found = tuple(self._name("s") for _ in range(len(bits).bit_length()))
        for weight, name in enumerate(found):
            table = sum(1 << at for at in range(rows) if at.bit_count() >> weight & 1)
            self.lines.append(f"wire {name} = {rows}'h{table:x} >> {row};")
        return found

    def _chain(
        self, a: Sequence[str], b: Sequence[str], carry: str, most: int, *, in_tables: bool = False
    ) -> tuple[str, ...]:
        """The sum of two numbers and a bit, of one bit more than they have, at most `most`.

        The carry is in the lowest place of both, which carries it into the next. Synthesis orders the operands of a sum
        by their width, and only the first may pass the tables of a chain by; those of a difference stay where they are.
        """
        width = min(most, max(len(a), len(b)) + 1)
        self.cost += chain_tables(width + 1)
        total, first = self._name("n"), _concatenated((carry, *a))
        if in_tables:
            complement = ["1'b1", *(f"~{bit}" for bit in b), *["1'b1"] * (width - len(b))]
            sum_of = f"{first} - {_concatenated(complement)}"
        else:
            sum_of = f"{first} + {_concatenated((carry, *b))}"
        self.lines.append(f"wire [{width}:0] {total} = {sum_of};")
        return tuple(f"{total}[{place}]" for place in range(1, width + 1))


def chain_tables(places: int) -> int:
    """Look-up tables that a sum of so many bits takes: chains are made of cells of two, and two bits need none."""
    return places + places % 2 if places > 2 else places


def bit_sums(lookup_inputs: int | None) -> BitSums:
    """For look-up tables of so many inputs, or None for standard cells."""
    return FullAdders() if lookup_inputs is None else CarryChains(inputs=lookup_inputs)


def _concatenated(bits: Sequence[str]) -> str:
    return f"{{{', '.join(reversed(bits))}}}"
