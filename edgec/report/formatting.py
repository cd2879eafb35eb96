"""Numbers and names as people read them; the exact ones are in `report.json`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgec.core.printable import printable as printable

_CODE_SPAN = re.compile(r"`([^`]+)`")
_DECIMAL_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
SIGNIFICANT_DIGITS = 3


def significant(value: float, digits: int = SIGNIFICANT_DIGITS) -> str:
    """A number with so many significant digits, thousands separated, no exponent for what people count."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4:
        return scientific(value, digits)
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}"


def scientific(value: float, digits: int = 2) -> str:
    """An error as `3.1e-7`: no padding of the exponent."""
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def count(value: float) -> str:
    """A count: exact below ten thousand, then `73.4 M`."""
    if abs(value) < 10_000 and value == int(value):
        return f"{int(value):,}"
    for factor, prefix in _DECIMAL_PREFIXES:
        if abs(value) >= factor:
            return f"{significant(value / factor)} {prefix}"
    return significant(value)


def size(value: float) -> str:
    """Bytes: `812 B`, `15.8 MiB`."""
    for factor, unit in _BINARY_UNITS:
        if abs(value) >= factor:
            return f"{significant(value / factor)} {unit}"
    return f"{significant(value, 4) if value != int(value) else int(value)} B"


def milliseconds(value: float) -> str:
    """Milliseconds as `842 µs`, `12.3 ms` or `4.21 s`."""
    if abs(value) >= 1000:
        return f"{significant(value / 1000)} s"
    if 0 < abs(value) < 1:
        return f"{significant(value * 1000)} µs"
    return f"{significant(value)} ms"


def millijoules(value: float) -> str:
    """Millijoules as `3.10 mJ` or `1.20 J`."""
    return f"{significant(value / 1000)} J" if abs(value) >= 1000 else f"{significant(value)} mJ"


def percent(share: float) -> str:
    """A share of one as `12.3 %`."""
    return f"{share * 100:.1f} %"


def signed_percent(change: float) -> str:
    """A relative change as `+12.3 %`, a small one as `−<0.1 %`; a true minus sign."""
    if 0 < abs(change) < 0.0005:
        return f"{'+' if change > 0 else '−'}<0.1 %"
    return f"{change * 100:+.1f} %".replace("-", "−")


def signed(cell: str) -> str:
    """A printed change with a `+` where it grew."""
    return cell if cell in {"", "0"} or cell.startswith("−") else f"+{cell}"


def change_of(before: float, after: float) -> str:
    """The relative change from one number to another; `=` for none, `new` where the first is zero."""
    if before == after:
        return "="
    if before == 0:
        return "new"
    return signed_percent(after / before - 1)


def shortened(text: str, width: int) -> str:
    """At most `width` characters: the middle gives way, because node names differ at both ends."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


@dataclass(frozen=True)
class Span:
    """A piece of prose: plain, or a name that stood in backticks."""

    text: str
    is_code: bool


def spans(text: str) -> tuple[Span, ...]:
    """Prose split at `names in backticks`, which each rendering sets in its own way."""
    pieces = _CODE_SPAN.split(printable(text))
    return tuple(Span(piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece)


@dataclass(frozen=True)
class Column:
    """A column of numbers in one unit whose printed digits add up to the printed total.

    Attributes:
        unit: of every cell, for the heading: `M`, `MiB`, `ms`.
        cells: the addends.
        total: their printed sum.
    """

    unit: str
    cells: tuple[str, ...]
    total: str


def count_column(values: Sequence[float]) -> Column:
    """Counts in the largest prefix that suits the total."""
    largest = _largest(values)
    factor, unit = next((row for row in _DECIMAL_PREFIXES if largest >= 10 * row[0]), (1, ""))
    return _column(values, factor, unit, decimals=2 if factor > 1 else 0)


def size_column(values: Sequence[float]) -> Column:
    """Bytes in the largest unit that suits the total."""
    largest = _largest(values)
    factor, unit = next((row for row in _BINARY_UNITS if largest >= 10 * row[0]), (1, "B"))
    return _column(values, factor, unit, decimals=2 if factor > 1 else 0)


def milliseconds_column(values: Sequence[float]) -> Column:
    """Milliseconds, or microseconds if the total is below one millisecond."""
    if _largest(values) < 1:
        return _column(values, 0.001, "µs", decimals=2)
    return _column(values, 1, "ms", decimals=3)


def share_column(values: Sequence[float]) -> Column:
    """Each value's percentage of their sum."""
    total = math.fsum(values)
    return _column([value / total if total else 0.0 for value in values], 0.01, "%", decimals=1)


def _largest(values: Sequence[float]) -> float:
    """The total, or the largest value where changes cancel each other."""
    return max([abs(math.fsum(values)), *map(abs, values)])


def _column(values: Sequence[float], factor: float, unit: str, *, decimals: int) -> Column:
    scale = 10**decimals / factor
    units = _largest_remainder([value * scale for value in values])
    cells = tuple(_fixed(unit, decimals) if value else "0" for unit, value in zip(units, values, strict=True))
    return Column(unit, cells, _fixed(sum(units), decimals))


def _fixed(units: int, decimals: int) -> str:
    return f"{units / 10**decimals:,.{decimals}f}".replace("-", "−")


def _largest_remainder(values: Sequence[float]) -> list[int]:
    """Integers less than one away from the values, whose sum is the rounded sum of the values.

    Hamilton's method: round everything down, then hand the missing units to the largest remainders.
    """
    floors = [math.floor(value) for value in values]
    missing = round(math.fsum(values)) - sum(floors)
    by_remainder = sorted(range(len(values)), key=lambda index: floors[index] - values[index])
    for index in by_remainder[: max(0, missing)]:
        floors[index] += 1
    return floors
