"""The two streams of the command line: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgec.core.printable import printable as printable

if TYPE_CHECKING:
    from rich.console import RenderableType

Json = Mapping[str, object] | Sequence[object]


def write(text: str) -> None:
    """Write data to stdout, with a newline at the end if it lacks one."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def write_json(value: Json) -> None:
    """Write a value to stdout as JSON, indented by two spaces."""
    write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def write_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write columns padded to equal width to stdout; a pipe gets the same text as a terminal."""
    lines = [tuple(printable(cell) for cell in row) for row in (titles, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    write("\n".join("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines))


def write_rich(shown: RenderableType) -> None:
    """Write something that Rich lays out to stdout, coloured only where a terminal wants colour."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    colour = coloured(terminal)
    Console(file=sys.stdout, force_terminal=colour, no_color=not colour, highlight=False).print(shown)


def say(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{text}\n")


def coloured(stream_is_terminal: bool) -> bool:
    """Whether to colour: a terminal, no NO_COLOR (no-color.org), no CI, no dumb terminal."""
    plain = bool(os.environ.get("NO_COLOR")) or "CI" in os.environ or os.environ.get("TERM") == "dumb"
    return stream_is_terminal and not plain


def discard_stdout() -> None:
    """Point stdout at nothing: whoever read it is gone, and Python's last flush must not fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
