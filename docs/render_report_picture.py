"""Take the pictures of the HTML report that the documentation shows.

    python docs/render_report_picture.py ARTEFACT

ARTEFACT is a folder that `edgec build` wrote, or a `report.json`. Needs Chromium or Chrome on PATH. Writes
`docs/images/report-light.png` and `docs/images/report-dark.png`, 1280 pixels wide.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgec.core.errors import EdgecError
from edgec.report.files import load_report
from edgec.report.html import write_html

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCHEMES = {"light": 1, "dark": 0}
"""Chromium's numbers of the preferred colour scheme."""


def main() -> int:
    """Render the page and photograph it in both colour schemes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--height", type=int, default=2230, help="height of the pictures in pixels")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write(f"no browser found: install one of {', '.join(BROWSERS)}\n")
        return 3
    try:
        page = write_html(load_report(options.artefact))
    except EdgecError as error:
        sys.stderr.write(f"{error}\nhint: {error.hint}\n")
        return int(error.code.status)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_bytes(page)
        for scheme in SCHEMES:
            photograph(browser, file, IMAGES / f"report-{scheme}.png", scheme, options.height)
    return 0


def photograph(browser: str, page: Path, picture: Path, scheme: str, height: int) -> None:
    """Write a PNG of the top of the page."""
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        f"--window-size=1280,{height}",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
