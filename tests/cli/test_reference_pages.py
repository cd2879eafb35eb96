"""The reference pages say what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgec.cli.reference import cli_page, errors_page
from edgec.core.codes import catalogue
from edgec.core.errors import ExitStatus

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
REGENERATE = "write the pages again: python -m edgec.cli.reference docs/reference"


@pytest.mark.parametrize(("name", "page"), [("cli.md", cli_page), ("errors.md", errors_page)])
def test_the_pages_are_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    assert (REFERENCE / name).read_text(encoding="utf-8") == page(), REGENERATE


@pytest.mark.parametrize("code", catalogue())
def test_every_code_is_explained(code: str) -> None:
    row = catalogue()[code]
    assert re.fullmatch(r"EC(0[1-9]|1\d)\d\d", code)
    assert len(row.explanation.split()) >= 8
    assert len(row.remedy.split()) >= 3
    assert row.explanation.endswith((".", ")"))
    assert row.status is not ExitStatus.OK


def test_no_code_is_declared_twice() -> None:
    import edgec.core.codes

    folder = Path(next(iter(edgec.core.codes.__path__)))
    declared = [
        code
        for path in folder.glob("[a-z]*.py")
        for code in re.findall(r'"(EC\d{4})",?$', path.read_text(), re.MULTILINE)
    ]
    assert sorted(declared) == sorted(set(declared))
    assert set(declared) == set(catalogue())
