"""What renderings on a terminal are put together from.

Import this module at the moment of need: it brings in Rich.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgec.core.metric import Mode
from edgec.report import formatting

BAR_CELLS = 14
MODE_STYLES = {Mode.MEASURED: "green", Mode.SIMULATED: "blue", Mode.PREDICTED: "yellow"}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def header_line(text: str) -> Text:
    """A heading that reads as one without colour."""
    return Text(text, style="bold")


def plain_table(*headings: str, numbers: frozenset[int] = frozenset(), long: frozenset[int] = frozenset()) -> Table:
    """A table with one rule under its head.

    Args:
        headings: of the columns.
        numbers: columns that stand flush right and never wrap.
        long: columns that may fold anywhere.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        if index in numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold" if index in long else "ellipsis", no_wrap=False)
    return table


def bullets(lines: Iterable[str]) -> RenderableType:
    """A list whose long lines hang."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row("-", Text(formatting.printable(line)))
    return grid


def bar(share: float, cells: int = BAR_CELLS) -> Text:
    """A bar of `cells` characters, filled to `share` in eighths of a character."""
    eighths = round(max(0.0, min(1.0, share)) * cells * 8)
    full, part = divmod(eighths, 8)
    return Text("█" * full + (_EIGHTHS[part] if part else ""), style="cyan")


def mode_text(mode: Mode) -> Text:
    """How a value was had, in a word and a colour."""
    return Text(mode.value, style=MODE_STYLES[mode])
