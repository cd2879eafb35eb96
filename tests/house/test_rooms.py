"""The rules of the house that a linter does not know."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [*ROOT.glob("edgec/**/*.py"), *ROOT.glob("passes/**/*.py"), *ROOT.glob("hw/**/*.py")]


@pytest.mark.parametrize(
    "heavy", ["tvm", "onnxruntime", "onnxscript", "onnx", "jinja2", "onnx_ir", "numpy", "pydantic"]
)
def test_the_command_line_starts_without_heavy_libraries(heavy: str) -> None:
    program = f"import sys, edgec.cli.main; sys.exit('{heavy}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_product_file_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 420
    assert not re.search(r"^\s*(assert\b|print\()", text, flags=re.MULTILINE)
