"""`edgec diff`: what changed between two reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A report.json or an artefact.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B", help="A report.json or an artefact.", show_default=False)],
    json: Json = False,
) -> None:
    """Compare two reports: metrics, layers, passes, and whether a change exceeds the error bands."""
    from edgec.report import diff as comparison
    from edgec.report.files import load_report

    difference = comparison.compare(load_report(before), load_report(after))
    if json:
        terminal.write_json(difference.model_dump(mode="json"))
    else:
        terminal.write(comparison.render(difference))
