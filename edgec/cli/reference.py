"""The reference pages of the command line and of the error codes, written from what the program itself knows.

`python -m edgec.cli.reference docs/reference` writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import typer
import typer.core

from edgec.cli.main import app
from edgec.core.codes import catalogue
from edgec.core.output_file import whole_file

Verb = typer.core.TyperCommand | typer.core.TyperGroup

_WIDTH = 100
_ROOMS = {
    "EC01": "Command line and project file",
    "EC02": "Loading a model",
    "EC03": "Passes and pipeline",
    "EC04": "Backends",
    "EC05": "Targets",
    "EC06": "Artefacts",
    "EC07": "Data",
    "EC08": "Reports",
    "EC09": "Tools, and our own bugs",
    "EC10": "Training",
    "EC11": "FPGAs and ASICs",
    "EC12": "Split computing",
    "EC13": "High-level synthesis",
}

_CLI_HEAD = """\
# Command line

Every verb with its options, as `edgec VERB --help` shows them.

Data goes to stdout, everything else to stderr; `--json` makes the data JSON. Progress is a bar on a terminal and
plain lines elsewhere; `--quiet` silences it. `NO_COLOR` and `CI` turn colour off.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | a check failed: the result differs from its reference, or a budget is exceeded |
| 2 | wrong usage, or an input that cannot be used |
| 3 | a tool or library is missing; the hint says how to get it |
| 4 | the model or the machine needs something that is not supported |
| 70 | a bug in edgec |
| 130 | interrupted |
"""

_ERRORS_HEAD = """\
# Error codes

Codes are stable and never reused. `edgec explain CODE` shows the same text.
"""


def cli_page() -> str:
    """The page of the verbs, in Markdown."""
    sections = [f"## `{path}`\n\n```text\n{text.rstrip()}\n```\n" for path, text in _help_texts()]
    return "\n".join((_CLI_HEAD, *sections))


def errors_page() -> str:
    """The page of the error codes, in Markdown."""
    parts = [_ERRORS_HEAD]
    room = ""
    for code, row in catalogue().items():
        if code[:4] != room:
            room = code[:4]
            parts.append(f"## {_ROOMS[room]}\n")
        parts.append(
            f"### {code}: {row.title}\n\n{row.explanation}\n\n{row.remedy}\n\nExit status {int(row.status)}.\n"
        )
    return "\n".join(parts)


def main(folder: Path) -> None:
    """Write both pages into a folder."""
    for name, text in (("cli.md", cli_page()), ("errors.md", errors_page())):
        with whole_file(folder / name) as file:
            file.write(text.encode())


def _help_texts() -> Iterator[tuple[str, str]]:
    """Path and help of the program and of every verb, in the order of the program's help."""
    yield from _help_of(cast(Verb, typer.main.get_command(app)), None, "edgec")


def _help_of(command: Verb, parent: typer.Context | None, name: str) -> Iterator[tuple[str, str]]:
    context = cast(typer.Context, command.context_class(command, parent=parent, info_name=name, terminal_width=_WIDTH))
    yield context.command_path, command.get_help(context)
    for verb, inner in getattr(command, "commands", {}).items():
        yield from _help_of(inner, context, verb)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
