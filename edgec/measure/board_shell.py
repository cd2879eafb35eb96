"""What a board is to edgec: a POSIX shell somewhere else. How it is reached is the business of each transport."""

from __future__ import annotations

from typing import Protocol

from edgec.core.codes.board import BOARD_FAILED
from edgec.core.errors import EdgecError

COMMAND_SECONDS = 60.0
_SHELL_CANNOT_RUN = frozenset({126, 127})
_CRASHED = 128


class BoardShell(Protocol):
    """A shell on a board."""

    @property
    def address(self) -> str:
        """The board, as the user named it."""

    def run(self, command: str, content: bytes = b"", *, seconds: float = COMMAND_SECONDS) -> bytes:
        """Run a command, with `content` as its standard input, and give back what it printed.

        Raises:
            EdgecError: EC0656 if the board cannot be reached, EC0657 if the command fails or takes longer.
        """


def board_failed(address: str, what: str, said: str = "") -> EdgecError:
    """EC0657 of a board, with the end of what it said."""
    details = tuple(said.strip().splitlines()[-5:])
    return EdgecError(BOARD_FAILED, what, where=address, hint=BOARD_FAILED.remedy, details=details)


def bad_status(address: str, status: int, said: str) -> EdgecError:
    """EC0657 for a command that ended with a shell's status other than 0."""
    if status in _SHELL_CANNOT_RUN:
        what = "the board cannot run the program: is it built for another processor?"
    elif status > _CRASHED:
        what = f"a program on the board ended by signal {status - _CRASHED}"
    else:
        what = f"a program on the board ended with status {status}"
    return board_failed(address, what, said)
