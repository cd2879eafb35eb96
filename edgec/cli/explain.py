"""`edgec explain`: what an error code means and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json
from edgec.core.codes import catalogue
from edgec.core.codes.usage import UNKNOWN_CODE
from edgec.core.errors import EdgecError, ErrorCode


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="For instance EC0401.")] = None,
    json: Json = False,
) -> None:
    """Say what an error code means.

    Without a code, list them all.
    """
    rows = list(catalogue().values()) if code is None else [find(code)]
    if json:
        terminal.write_json([_as_data(row) for row in rows])
    elif code is None:
        terminal.write_table(("CODE", "EXIT", "TITLE"), [(row.code, str(int(row.status)), row.title) for row in rows])
    else:
        terminal.write(_page(rows[0]))


def find(code: str) -> ErrorCode:
    """The row of a code, however it is written (`ec401`, `EC0401`).

    Raises:
        EdgecError: EC0107 with the closest codes as its hint.
    """
    rows = catalogue()
    digits = code.strip().strip("[]").upper().removeprefix("EC")
    wanted = f"EC{digits:0>4}"
    if wanted in rows:
        return rows[wanted]
    from difflib import get_close_matches

    close = get_close_matches(wanted, rows, n=3)
    hint = f"the closest are {', '.join(close)}" if close else UNKNOWN_CODE.remedy
    raise EdgecError(UNKNOWN_CODE, f"no error has the code {code}", hint=hint)


def _page(row: ErrorCode) -> str:
    return (
        f"{row.code}: {row.title}\n\n{row.explanation}\n\nhint: {row.remedy}\n\n"
        f"exit status: {int(row.status)} ({row.status.name.lower().replace('_', ' ')})"
    )


def _as_data(row: ErrorCode) -> dict[str, object]:
    return {
        "code": row.code,
        "title": row.title,
        "exit_status": int(row.status),
        "explanation": row.explanation,
        "remedy": row.remedy,
    }
