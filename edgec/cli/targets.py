"""`edgec targets`: the devices that edgec knows."""

from __future__ import annotations

from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="The devices that edgec knows.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A target, or a datasheet.", show_default=False)]


@app.command("list")
def list_targets(json: Json = False) -> None:
    """List the targets by name."""
    from edgec.core.target_files import target_summaries

    rows = target_summaries()
    if json:
        terminal.write_json([{"name": row.name, "title": row.title, "backend": row.backend} for row in rows])
    else:
        terminal.write_table(("NAME", "BACKEND", "DEVICE"), [(row.name, row.backend, row.title) for row in rows])


@app.command("show")
def show(name: Name, json: Json = False) -> None:
    """Show a target's datasheet: every number with its basis and its source."""
    from edgec.core.target_files import load_target, target_path

    target = load_target(name)
    if json:
        terminal.write_json(target.model_dump(mode="json"))
    else:
        terminal.write(target_path(name).read_text(encoding="utf-8"))


@app.command("validate")
def validate(
    name: Annotated[str | None, typer.Argument(metavar="NAME|FILE.toml", help="One target; all without it.")] = None,
    json: Json = False,
) -> None:
    """Check a datasheet, then compile a one-operator model for it and look at the produced file."""
    from edgec.core.target_files import target_names
    from edgec.validate import validate_target

    names = target_names() if name is None else (name,)
    findings = [validate_target(each) for each in names]
    if json:
        terminal.write_json([finding.model_dump(mode="json") for finding in findings])
    else:
        terminal.write_table(("TARGET", "PRODUCED"), [(finding.target, finding.produced) for finding in findings])
