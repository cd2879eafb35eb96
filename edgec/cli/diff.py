"""`edgec diff`: what changed between two reports."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json


class Format(StrEnum):
    """A rendering of the comparison."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    JSON = "json"


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A report.json or an artefact.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B", help="A report.json or an artefact.", show_default=False)],
    format: Annotated[Format, typer.Option("--format", help="How to render it.")] = Format.TERMINAL,  # noqa: A002
    json: Json = False,
) -> None:
    """Compare two reports.

    Shows what changed in metrics, layers and passes, and whether a change exceeds the error bands.
    """
    from edgec.report.diff import diff_reports, write_diff_json
    from edgec.report.files import load_report

    difference = diff_reports(load_report(before), load_report(after))
    if json or format is Format.JSON:
        terminal.write(write_diff_json(difference).decode())
    elif format is Format.MARKDOWN:
        from edgec.report.diff_markdown import write_diff_markdown

        terminal.write(write_diff_markdown(difference))
    else:
        from edgec.report.diff_terminal import TerminalDiff

        terminal.write_rich(TerminalDiff(difference))
