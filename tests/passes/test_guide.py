"""The snippets of the guide run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "writing-a-pass.md"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_python_snippets_run_one_after_another(tmp_path: Path) -> None:
    script = tmp_path / "guide.py"
    script.write_text("\n".join(snippets("python")), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_toml_snippets_parse() -> None:
    recipe = tomllib.loads(snippets("toml")[1])
    assert [row["name"] for row in recipe["pass"]] == ["static-shapes", "subtraction-to-addition"]
    assert "project" in tomllib.loads(snippets("toml")[0])
