"""EC09xx: programs that edgec calls."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

TOOL_MISSING = ErrorCode(
    "EC0901",
    "a tool is missing",
    ExitStatus.TOOL_MISSING,
    "edgec calls other programs to compile, link and emulate. One that this step needs was not found.",
    "Install it with the line in the hint, or put it on PATH.",
)
