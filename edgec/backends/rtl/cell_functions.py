"""What cells compute, as truth tables: yosys's own gates, and those of a Liberty file."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class OutputFunction:
    """One output of a cell.

    Attributes:
        pin: its name.
        inputs: pins that it depends on, in order.
        expression: Liberty's boolean function of them.
    """

    pin: str
    inputs: tuple[str, ...]
    expression: str


@dataclass(frozen=True)
class CellFunction:
    """A cell of a library.

    Attributes:
        outputs: its outputs; of a flip-flop those that hold the state.
        next_state: pin that a flip-flop takes its next state from; empty for a gate.
    """

    outputs: tuple[OutputFunction, ...]
    next_state: str = ""


def table_of(inputs: tuple[str, ...], expression: str) -> int:
    """Truth table of a boolean function in Liberty's syntax: `!`, `'`, `*` or `&` or a space, `^`, `+` or `|`."""
    table = 0
    for row in range(1 << len(inputs)):
        values = {name: row >> position & 1 for position, name in enumerate(inputs)}
        table |= _Expression(expression, values).value() << row
    return table


def lookup_table(output: OutputFunction) -> int:
    """Truth table of an output."""
    return table_of(output.inputs, output.expression)


_GATES = {
    "$_BUF_": ("A", "A"),
    "$_NOT_": ("A", "!A"),
    "$_AND_": ("AB", "A*B"),
    "$_NAND_": ("AB", "!(A*B)"),
    "$_OR_": ("AB", "A+B"),
    "$_NOR_": ("AB", "!(A+B)"),
    "$_XOR_": ("AB", "A^B"),
    "$_XNOR_": ("AB", "!(A^B)"),
    "$_ANDNOT_": ("AB", "A*!B"),
    "$_ORNOT_": ("AB", "A+!B"),
    "$_MUX_": ("ABS", "(A*!S)+(B*S)"),
    "$_AOI3_": ("ABC", "!((A*B)+C)"),
    "$_OAI3_": ("ABC", "!((A+B)*C)"),
}


class _Expression:
    """Recursive descent over a boolean expression with known values."""

    def __init__(self, text: str, values: dict[str, int]) -> None:
        self._tokens: list[str] = re.findall(r"[A-Za-z_]\w*|[01]|[!'()*&^+|]", text)
        self._values = values
        self._at = 0

    def value(self) -> int:
        return self._or()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _or(self) -> int:
        result = self._exclusive()
        while self._peek() in ("+", "|"):
            self._next()
            result |= self._exclusive()
        return result

    def _exclusive(self) -> int:
        result = self._and()
        while self._peek() == "^":
            self._next()
            result ^= self._and()
        return result

    def _and(self) -> int:
        result = self._inverse()
        while self._peek() and self._peek() not in "+|^)":
            if self._peek() in "*&":
                self._next()
            result &= self._inverse()
        return result

    def _inverse(self) -> int:
        symbol = self._next()
        if symbol == "!":
            return 1 - self._inverse()
        if symbol == "(":
            result = self._or()
            self._next()
        else:
            result = int(symbol) if symbol in "01" else self._values[symbol]
        while self._peek() == "'":
            self._next()
            result = 1 - result
        return result


GATE_INPUTS = {kind: tuple(inputs) for kind, (inputs, _) in _GATES.items()}
GATE_TABLES = {kind: table_of(tuple(inputs), expression) for kind, (inputs, expression) in _GATES.items()}
