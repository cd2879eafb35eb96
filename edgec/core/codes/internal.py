"""EC0999: our own bugs."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

INTERNAL = ErrorCode(
    "EC0999",
    "a bug in edgec",
    ExitStatus.INTERNAL,
    "Something happened that edgec did not foresee. What it was doing is in a log file, and no output was written.",
    "Report it, with the log file that the message names.",
)
