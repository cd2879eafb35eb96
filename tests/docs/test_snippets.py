"""Every snippet in the README and in docs/ runs.

The blocks marked `python` of a document are one program; the lines of a `console` block that begin with `$ edgec` are
run in order, one folder a document. `model.onnx` is a small network.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^```(python|console)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
EDGEC = str(Path(sys.executable).with_name("edgec"))


def snippets(document: Path) -> list[tuple[str, str]]:
    return FENCE.findall(document.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if snippets(d)], ids=lambda d: str(d.relative_to(ROOT)))
def test_snippets_run(document: Path, small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(small_model.read_bytes())
    program = "\n".join(text for language, text in snippets(document) if language == "python")
    console = "\n".join(text for language, text in snippets(document) if language == "console")
    commands = [[EDGEC, *shlex.split(line[2:])[1:]] for line in console.splitlines() if line.startswith("$ edgec")]
    if program:
        commands.append([sys.executable, "-c", program])
    for command in commands:
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{document.name}: {command}\n{ran.stdout}\n{ran.stderr}"
