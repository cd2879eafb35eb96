"""`edgec passes`: the transformations that a recipe can name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json

if TYPE_CHECKING:
    from edgec.core.passes import Pass

app = typer.Typer(no_args_is_help=True, help="The transformations that a recipe can name.", rich_markup_mode=None)


@app.command("list")
def list_passes(json: Json = False) -> None:
    """List the installed passes."""
    rows = [(each.name, each.kind.value, _summary(each)) for each in _installed()]
    if json:
        terminal.write_json([{"name": name, "kind": kind, "summary": summary} for name, kind, summary in rows])
    else:
        terminal.write_table(("NAME", "KIND", "WHAT IT DOES"), rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pass.", show_default=False)], json: Json = False
) -> None:
    """Show what a pass does, its cases, its source, and its options."""
    from edgec.core.recipe import find_pass

    chosen = find_pass(name)
    if json:
        terminal.write_json(
            {
                "name": chosen.name,
                "kind": chosen.kind.value,
                "needs": [need.value for need in chosen.needs],
                "description": inspect.getdoc(chosen) or "",
                "options": chosen.Options.model_json_schema(),
            }
        )
        return
    terminal.write(f"{chosen.name} ({chosen.kind.value})\n\n{inspect.getdoc(chosen) or ''}\n")
    for option, field in chosen.Options.model_fields.items():
        terminal.write(
            f"  {option} = {field.get_default(call_default_factory=True)!r}\n      {field.description or ''}"
        )


def _installed() -> tuple[type[Pass], ...]:
    from edgec.core.recipe import find_pass, pass_names

    return tuple(find_pass(name) for name in pass_names())


def _summary(chosen: type[Pass]) -> str:
    return (inspect.getdoc(chosen) or "").partition("\n")[0]
