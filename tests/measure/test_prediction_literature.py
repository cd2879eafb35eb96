"""The guide's table of predictions beside published numbers is what the script makes now."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_of_the_guide_is_up_to_date() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        literature = importlib.import_module("literature_table")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    guide = literature.GUIDE.read_text(encoding="utf-8")
    assert guide == literature.with_table(guide), "run `python benchmarks/literature_table.py --write`"
