"""Integers against floats on this machine: our own code for both, in one process, in turns.

    python benchmarks/integer_speed.py NETWORK.onnx … [--rounds 30] [--out benchmarks/results/integer-speed.json]

Each network is quantised by the recipe `int8` on normal inputs: which values they take changes nothing in the time. One
thread; times are the fastest of all rounds. `--docs` writes docs/reference/integer-speed.md.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
from engines import Inputs, Run, edgec, script, seeded_inputs

RESULTS = Path(__file__).parent / "results" / "integer-speed.json"
SAMPLES = 8
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "integer-speed.md"


def quantised(model: Path, inputs: Inputs, folder: Path) -> Path:
    """The network after the recipe `int8`, its ranges found on normal inputs."""
    generator, data = np.random.default_rng(1), folder / "samples.npz"
    np.savez(
        data, **{name: generator.standard_normal((SAMPLES, *of.shape[1:]), np.float32) for name, of in inputs.items()}
    )
    command = [script("edgec"), "build", model, "--target", "host", "--recipe", "int8", "--data", data]
    subprocess.run([*command, "--out", folder / "int8"], check=True, stdout=subprocess.DEVNULL)
    return folder / "int8" / "model.onnx"


def milliseconds(run: Run) -> float:
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)


def compare(model: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of both."""
    inputs = seeded_inputs(model, [])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fp32").mkdir()
        (folder / "integers").mkdir()
        runs = {
            "fp32": edgec(model, 1, inputs, folder / "fp32"),
            "int8": edgec(quantised(model, inputs, folder), 1, inputs, folder / "integers"),
        }
        times = dict.fromkeys(runs, math.inf)
        for _ in range(rounds):
            for kind, run in runs.items():
                milliseconds(run)
                times[kind] = min(times[kind], *(milliseconds(run) for _ in range(10)))
    return {kind: round(found, 4) for kind, found in times.items()}


def page(found: dict[str, dict[str, float]], host: str) -> str:
    ratios = {name: times["int8"] / times["fp32"] for name, times in found.items()}
    mean = math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios))
    rows = [f"| {name} | {of['fp32']:.3f} | {of['int8']:.3f} | {ratios[name]:.3f} |" for name, of in found.items()]
    return "\n".join(
        [
            "# Integers against floats",
            "",
            f"The recipe `int8` against our own fp32 on one thread of {host}; the fastest of many runs in turns.",
            "Written by `benchmarks/integer_speed.py`.",
            "",
            "| network | fp32, ms | int8, ms | int8 / fp32 |",
            "|---|--:|--:|--:|",
            *rows,
            f"| geometric mean | | | **{mean:.3f}** |",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for model in options.models:
        found[model.stem] = compare(model, options.rounds)
        print(model.stem, found[model.stem], file=sys.stderr, flush=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        PAGE.write_text(page(found, machine.processor_name()), encoding="utf-8")


if __name__ == "__main__":
    main()
