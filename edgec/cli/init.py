"""`edgec init`: a commented project file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write edgec.toml.")] = Path(),
    json: Json = False,
) -> None:
    """Write a commented edgec.toml; an existing one is left alone."""
    from edgec.initialize import initialize

    path = initialize(folder)
    if json:
        terminal.write_json({"written": str(path)})
    else:
        terminal.say(f"wrote {path}; name your model in it, then run `edgec build`")
