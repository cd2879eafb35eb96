"""The recipes in the guide are valid; its programs are run with those of the other documents."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "writing-a-pass.md"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_toml_snippets_parse() -> None:
    recipe = tomllib.loads(snippets("toml")[1])
    assert [row["name"] for row in recipe["pass"]] == ["static-shapes", "subtraction-to-addition"]
    assert "project" in tomllib.loads(snippets("toml")[0])
