"""Progress of long work, reported to whoever watches: the terminal, or nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a long piece of work; implementations write to stderr or nowhere."""

    def start(self, step: str, total: int | None = None) -> None:
        """A step begins; `total` is the number of units that `advance` counts, if known."""

    def advance(self, units: int = 1) -> None:
        """Some units of the current step are done."""

    def note(self, text: str) -> None:
        """Something the user should know and that is no error."""


class Silent:
    """Nobody watches."""

    def start(self, step: str, total: int | None = None) -> None:
        """Say nothing."""

    def advance(self, units: int = 1) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
