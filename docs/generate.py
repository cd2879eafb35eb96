"""Write every page of the reference that is made from the code: `make docs`.

The pictures are made by `docs/render_report_picture.py`, which needs Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
GENERATORS = (
    ("-m", "edgec.cli.reference", str(DOCS / "reference")),
    ("-m", "edgec.report.json_schema"),
    (str(DOCS / "render_targets.py"),),
)


def main() -> None:
    """Run every generator."""
    for generator in GENERATORS:
        subprocess.run([sys.executable, *generator], check=True)


if __name__ == "__main__":
    main()
