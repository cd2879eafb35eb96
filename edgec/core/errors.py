"""Errors that a user sees: a stable code, what, where, why, a hint, and an exit status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of the command line; scripts rely on them."""

    OK = 0
    BUDGET_FAILED = 1
    USAGE = 2
    TOOL_MISSING = 3
    UNSUPPORTED = 4
    INTERNAL = 70


@dataclass(frozen=True)
class ErrorCode:
    """One row of the error catalogue, shown by `edgec explain CODE`.

    Attributes:
        code: stable identifier, `EC` and four digits; never reused.
        title: what went wrong, in a few words.
        status: exit status of the command line.
        explanation: what it means and why edgec stops, in a paragraph.
        remedy: what to do about it.
    """

    code: str
    title: str
    status: ExitStatus
    explanation: str
    remedy: str


class EdgecError(Exception):
    """An error with a stable code; the command line prints it without a traceback.

    Args:
        code: the row of the catalogue.
        what: this occurrence, with the names and values involved.
        where: node, pass, file or line of the configuration; empty if there is no such place.
        hint: the next thing to try.
        details: further findings of the same kind, for instance every unsupported node.
    """

    def __init__(
        self, code: ErrorCode, what: str, *, where: str = "", hint: str, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{code.code}: {what}")
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint
        self.details = details
