"""Text, names and tables that Markdown shows as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgec.report import formatting

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&#])")


def escaped(text: str) -> str:
    """Text that Markdown and HTML leave alone."""
    return _SPECIAL.sub(r"\\\1", formatting.printable(text))


def code(text: str) -> str:
    """A name as a code span, whatever characters it holds; safe in a table."""
    shown = formatting.printable(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{shown}{space}{fence}".replace("|", "\\|")


def prose(text: str) -> str:
    """Escaped text whose `names in backticks` stay code."""
    return "".join(code(span.text) if span.is_code else escaped(span.text) for span in formatting.spans(text))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: frozenset[int] = frozenset()) -> str:
    """A table; the columns in `numbers` stand flush right. Cells must be Markdown already."""
    rule = ["---:" if index in numbers else "---" for index in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows))
