"""Progress on stderr: a bar with an estimate on a terminal, plain lines in a pipe or CI, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgec.cli.terminal import coloured, printable, say
from edgec.core.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID


class Lines:
    """One line a step, for logs."""

    def start(self, step: str, total: int | None = None) -> None:
        """Say what begins."""
        say(f"edgec: {printable(step)}")

    def advance(self, units: int = 1) -> None:
        """Say nothing: a log is not a place for a moving number."""

    def note(self, text: str) -> None:
        """Say it."""
        say(f"note: {printable(text)}")


class Bar:
    """A bar with the time spent and an estimate of the time left; only the current step is shown."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._task: TaskID | None = None

    def start(self, step: str, total: int | None = None) -> None:
        """Replace the step that is shown."""
        if self._task is not None:
            self._display.remove_task(self._task)
        self._task = self._display.add_task(_literal(step), total=total)

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._display.advance(self._task, units)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._display.console.print(f"note: {_literal(text)}", highlight=False)


@contextmanager
def watched(*, quiet: bool) -> Iterator[Progress]:
    """The progress display that fits the terminal, for the length of a `with` block."""
    if quiet:
        yield Silent()
    elif coloured(sys.stderr.isatty()):
        with _display() as display:
            yield Bar(display)
    else:
        yield Lines()


def _display() -> Display:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Columns

    return Columns(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
