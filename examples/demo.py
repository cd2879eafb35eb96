"""The tour of `make demo`: fetch a real network, build it for three targets, verify and run it, print the reports."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from fetch_model import fetch

OUT = Path("out/demo")
TARGETS = ("host", "raspberry-pi-4", "jetson-nano-cpu")


def edgec(*arguments: str) -> None:
    """Show a command line and run it; stop the demo if it fails."""
    print(f"\n$ edgec {' '.join(arguments)}", flush=True)
    status = subprocess.run([str(Path(sys.executable).with_name("edgec")), *arguments], check=False).returncode
    if status:
        raise SystemExit(status)


def main() -> None:
    started = time.monotonic()
    model = fetch(Path("out/page_orientation.onnx"))
    for target in TARGETS:
        edgec("build", str(model), "--target", target, "--out", str(OUT / target))
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    np.savez(OUT / "input.npz", x=image)
    host = str(OUT / "host")
    edgec("run", host, "--input", str(OUT / "input.npz"), "--output", str(OUT / "output.npz"))
    edgec("verify", host)
    edgec("diff", host, str(OUT / "raspberry-pi-4"))
    print(f"\nEverything above took {time.monotonic() - started:.0f} s. Open {OUT}/host/report.html in a browser.")


if __name__ == "__main__":
    main()
