"""`edgec report`: show the report of an artefact."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Artifact, Json


class Format(StrEnum):
    """A rendering of the report."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def report(
    artifact: Artifact,
    format: Annotated[Format, typer.Option("--format", help="How to render it.")] = Format.TERMINAL,  # noqa: A002
    json: Json = False,
    imported: Annotated[
        Path | None,
        typer.Option(
            "--import",
            help="Put the vendor's numbers into the artefact's report first: csynth.xml, oneAPI's NAME.report.prj,"
            " Quartus' NAME-fpga.prj, or Catapult's NAME_prj/NAME.v1.",
        ),
    ] = None,
) -> None:
    """Show the report of an artefact, or of a report.json."""
    from edgec.report.files import load_report, write_json

    loaded = load_report(artifact)
    if imported is not None:
        from edgec.report.vendor_report import import_vendor_report

        loaded = import_vendor_report(artifact, loaded, imported)
    if json or format is Format.JSON:
        terminal.write(write_json(loaded).decode())
    elif format is Format.MARKDOWN:
        from edgec.report.markdown import write_markdown

        terminal.write(write_markdown(loaded))
    elif format is Format.HTML:
        from edgec.report.html import write_html

        terminal.write(write_html(loaded).decode())
    else:
        from edgec.report.terminal import TerminalReport

        terminal.write_rich(TerminalReport(loaded))
