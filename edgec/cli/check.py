"""`edgec check`: does every build of the project keep its budgets?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json, Quiet
from edgec.cli.progress import watched
from edgec.core.errors import ExitStatus

if TYPE_CHECKING:
    from edgec.report.check_records import CheckResult

_GITHUB = "GITHUB_ACTIONS"
_GITHUB_SUMMARY = "GITHUB_STEP_SUMMARY"


def check(
    project: Annotated[
        Path, typer.Option("--project", metavar="FILE", help="The project file with the budgets.")
    ] = Path("edgec.toml"),
    update: Annotated[
        bool, typer.Option("--update", help="Write the figures of now to edgec.baseline.json, and show the change.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build and measure even what the cache knows.")] = False,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="TARGET=ADDRESS", help="Measure a target on this board, as with build."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a summary as Markdown.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check the budgets of edgec.toml.

    Builds every model for every target that has a budget, unless nothing has changed since it was last built. The exit
    status is 1 if a budget is broken or cannot be judged; the output says what grew, in which layer, and since what
    change. In GitHub Actions the failures are annotations at the lines of the project file.
    """
    from edgec.check import CheckOptions
    from edgec.check import check as run_check

    options = CheckOptions(project, update=update, fresh=fresh, devices=_devices(device or []))
    with watched(quiet=quiet) as progress:
        result = run_check(options, progress)
    _write_files(result, markdown, junit)
    if json:
        terminal.write_json(result.model_dump(mode="json", by_alias=True))
    else:
        from edgec.report.check_text import check_text

        terminal.write(check_text(result))
    if os.environ.get(_GITHUB) == "true":
        _annotate(result)
    if not result.passed:
        raise typer.Exit(int(ExitStatus.BUDGET_FAILED))


def _devices(texts: list[str]) -> dict[str, str]:
    from edgec.core.codes.board import BAD_DEVICE
    from edgec.core.errors import EdgecError

    devices = {}
    for text in texts:
        target, equals, address = text.partition("=")
        if not equals:
            raise EdgecError(BAD_DEVICE, f"{text!r} names no target", hint="write --device TARGET=ssh://user@board")
        devices[target] = address
    return devices


def _write_files(result: CheckResult, markdown: Path | None, junit: Path | None) -> None:
    from edgec.core.output_file import whole_file

    if markdown is not None:
        from edgec.report.check_markdown import write_check_markdown

        with whole_file(markdown) as file:
            file.write(write_check_markdown(result).encode())
    if junit is not None:
        from edgec.report.junit import write_junit

        with whole_file(junit) as file:
            file.write(write_junit(result))


def _annotate(result: CheckResult) -> None:
    """Workflow commands go to stderr, which GitHub reads as well, so that stdout stays data."""
    from edgec.report.annotations import github_annotations
    from edgec.report.check_markdown import write_check_markdown

    for line in github_annotations(result):
        terminal.say(line)
    summary = os.environ.get(_GITHUB_SUMMARY)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(write_check_markdown(result))
