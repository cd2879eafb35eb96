"""`edgec doctor`: what is installed, and what a missing thing would enable."""

from __future__ import annotations

import typer

from edgec.cli import terminal
from edgec.cli.options import Json
from edgec.core.errors import ExitStatus


def doctor(json: Json = False) -> None:
    """List what is installed and what is missing.

    Shows each library and program that edgec uses, what for, and how to get those that are missing. The exit status
    is 3 if a required one is missing.
    """
    from edgec.doctor import examine

    findings = examine()
    if json:
        terminal.write_json([finding.as_data() for finding in findings])
    else:
        terminal.write_table(
            ("NAME", "VERSION", "FOR"), [(each.name, each.version or "missing", each.enables) for each in findings]
        )
        for each in findings:
            if each.version is None:
                terminal.write(f"\n{each.name} is missing{' and required' if each.required else ''}: {each.install}")
    if any(each.required and each.version is None for each in findings):
        raise typer.Exit(int(ExitStatus.TOOL_MISSING))
