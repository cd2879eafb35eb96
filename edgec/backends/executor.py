"""The executor: carries out a build plan in a folder. The only place where a backend's work touches the disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edgec.backends.plan import BuildPlan, Command, Tool
from edgec.core.codes.tool import PATH_OUTSIDE, TOOL_FAILED, TOOL_LEFT_NOTHING, TOOL_MISSING, WRITE_FAILED
from edgec.core.errors import EdgecError
from edgec.core.progress import Progress
from edgec.core.tool_chain import tool_chain_environment

_LAST_LINES = 20
_SCRATCH = ".tool-chain"
"""In the folder where commands run."""
_VERSION_SECONDS = 120


def execute(plan: BuildPlan, folder: Path, progress: Progress) -> None:
    """Write the plan's files into a folder and run its commands there; nothing outside the folder is changed.

    Args:
        plan: what to do.
        folder: the artefact's folder; made if it does not exist.
        progress: told of each command.

    Raises:
        EdgecError: EC0901 before any work if a tool is missing; EC0902 and EC0903 if one fails; EC0904 if the
            operating system refuses a file; EC0905 if the plan names a file outside the folder.
    """
    tools = {tool.name: tool for tool in plan.tools}
    for tool in plan.tools:
        _require(tool)
    products = (*plan.files, *(command.produces for command in plan.commands))
    for path in (*products, *plan.discard):
        _require_inside(path)
    for path in products:
        _write(folder / path, plan.files.get(path))
    progress.start("compile and link", total=len(plan.commands))
    try:
        for command in plan.commands:
            _run(command, tools[command.tool], folder)
            progress.advance()
    finally:
        _remove(folder / _SCRATCH)
    for path in plan.discard:
        _remove(folder / path)


def _require(tool: Tool) -> None:
    """Check that a tool answers."""
    if shutil.which(tool.arguments[0]) is not None:
        if len(tool.arguments) == 1:
            return
        try:
            finished = _captured((*tool.arguments, "version"), Path.cwd(), seconds=_VERSION_SECONDS)
        except subprocess.TimeoutExpired as fault:
            what = f"`{tool.name}` did not answer within {_VERSION_SECONDS} s"
            raise EdgecError(TOOL_MISSING, what, hint="run `edgec doctor`; the machine may be too busy") from fault
        if finished.returncode == 0:
            return
    raise EdgecError(
        TOOL_MISSING, f"`{tool.name}` is needed to compile and link, and is not installed", hint=tool.install
    )


def _require_inside(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise EdgecError(PATH_OUTSIDE, f"the plan names {path!r}", hint="report it as a bug of the backend")


def _write(path: Path, contents: bytes | None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if contents is not None:
            path.write_bytes(contents)
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> EdgecError:
    hint = (
        "make room on the disk, or choose another folder with --out"
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "choose a folder with --out that you may write to"
    )
    return EdgecError(WRITE_FAILED, f"{error.strerror or error}", where=str(path), hint=hint)


def _run(command: Command, tool: Tool, folder: Path) -> None:
    try:
        finished = _captured((*tool.arguments, *command.arguments), folder)
    except OSError as error:
        raise EdgecError(TOOL_MISSING, f"`{tool.name}` could not be started: {error}", hint=tool.install) from error
    lines = finished.stdout.splitlines()[-_LAST_LINES:]
    if finished.returncode != 0:
        if any("No space left" in line or "NoSpaceLeft" in line for line in lines):
            raise _write_error(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        raise EdgecError(
            TOOL_FAILED,
            f"`{tool.name}` ended with status {finished.returncode} while it was to {command.description}",
            where=str(folder),
            hint="run `edgec doctor`; report it with the lines below if the tools are in order",
            details=tuple(lines),
        )
    if not (folder / command.produces).is_file():
        raise EdgecError(
            TOOL_LEFT_NOTHING,
            f"`{tool.name}` left no {command.produces}",
            where=str(folder),
            hint="report it with the lines below",
            details=tuple(lines),
        )


def _captured(
    arguments: tuple[str, ...], folder: Path, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=folder,
        env=_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds,
    )


def _environment(outer: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would show in the products."""
    fixed = {"SOURCE_DATE_EPOCH": "0", "LC_ALL": "C", "ZERO_AR_DATE": "1"}
    return {**tool_chain_environment(outer, Path(_SCRATCH)), **fixed}


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(path, error) from error
