"""How an error looks: `error[EC0105]: what`, where, details, and a hint, on stderr."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import typer

from edgec.cli.terminal import coloured, printable
from edgec.core.codes.internal import INTERNAL
from edgec.core.codes.usage import BAD_USAGE, OUT_OF_MEMORY, UNREADABLE_FILE, UNWRITABLE_OUTPUT
from edgec.core.errors import EdgecError

_LONGEST_LINE = 800
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
_READ_ERRORS = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def render(error: EdgecError, *, colour: bool) -> str:
    """The text of an error, with a newline at its end."""
    red, blue, green, reset = ("\x1b[1;31m", "\x1b[34m", "\x1b[32m", "\x1b[0m") if colour else ("", "", "", "")
    lines = [f"{red}error[{error.code.code}]{reset}: {_indented(error.what)}"]
    if error.where:
        lines.append(f"  {blue}-->{reset} {_clean(error.where)}")
    lines += [f"  - {_clean(detail)}" for detail in error.details]
    lines += ["", f"{green}hint{reset}: {_indented(error.hint)}"]
    return "\n".join(lines) + "\n"


def report(error: EdgecError) -> int:
    """Write the error to stderr and return its exit status."""
    sys.stderr.write(render(error, colour=coloured(sys.stderr.isatty())))
    return int(error.code.status)


def translated(problem: Exception, arguments: Sequence[str]) -> EdgecError:
    """The error that a user sees for an exception of any kind."""
    if isinstance(problem, EdgecError):
        return problem
    if isinstance(problem, typer.TyperException):
        return _usage(problem)
    if isinstance(problem, MemoryError):
        return EdgecError(OUT_OF_MEMORY, "out of memory", hint=OUT_OF_MEMORY.remedy)
    if isinstance(problem, OSError) and problem.errno in _DISK_ERRORS:
        return EdgecError(
            UNWRITABLE_OUTPUT, _reason(problem), where=str(problem.filename or ""), hint=UNWRITABLE_OUTPUT.remedy
        )
    if isinstance(problem, OSError) and problem.errno in _READ_ERRORS and problem.filename is not None:
        return EdgecError(UNREADABLE_FILE, _reason(problem), where=str(problem.filename), hint=UNREADABLE_FILE.remedy)
    return _bug(problem, arguments)


def _indented(text: str) -> str:
    return "\n  ".join(_clean(line) for line in text.splitlines())


def _clean(text: str) -> str:
    """Printable, and no longer than a person reads: names in damaged files can have megabytes."""
    if len(text) > _LONGEST_LINE:
        text = f"{text[: _LONGEST_LINE * 3 // 4]} … {text[-_LONGEST_LINE // 4 :]}"
    return printable(text)


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()


def _usage(problem: typer.TyperException) -> EdgecError:
    context = getattr(problem, "ctx", None)
    verb = context.command_path if context is not None else "edgec"
    what = problem.format_message().rstrip(".")
    return EdgecError(BAD_USAGE, what[:1].lower() + what[1:], hint=f"`{verb} --help` shows what it takes.")


def _bug(problem: Exception, arguments: Sequence[str]) -> EdgecError:
    summary = "".join(traceback.format_exception_only(problem)).strip().splitlines()[-1]
    log = _write_log(problem, arguments)
    return EdgecError(
        INTERNAL,
        f"edgec met something it did not foresee: {summary[:300]}",
        where=log,
        hint="please report this with the log file named above; it holds the command line and the traceback",
    )


def _write_log(problem: Exception, arguments: Sequence[str]) -> str:
    """Write the traceback to a file under the user's state folder, or else the system's temporary folder."""
    text = "".join(
        [
            f"edgec {' '.join(arguments)}\n",
            f"python {platform.python_version()} on {platform.platform()}\n\n",
            *traceback.format_exception(problem),
        ]
    )
    state = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "edgec"
    for folder in (state, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="edgec-", suffix=".log", dir=folder)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(text)
        return name
    return "(no log: neither the state folder nor the temporary folder can be written)"
