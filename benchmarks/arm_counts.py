"""Instructions of one inference on Arm, ours against ONNX Runtime's, counted in an emulator on any machine.

Usage: python benchmarks/arm_counts.py MODEL.onnx … [--target raspberry-pi-4] [--layers 10] [--out counts.json]
(needs qemu-aarch64 and a Debian or a derivative; the first run fetches an aarch64 Python and ONNX Runtime into --root)

Both compute on one thread in fp32 from the same inputs; the emulated core is the target's. A count is no time:
instructions differ in cost, and an emulator knows no caches. It is the same on every machine and in every run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import arm_root
import numpy as np
from engines import seeded_inputs, shapes_only
from layer_match import Pair, kernels_of, match, node_of, profiled_runs, table

from edgec.measure.counting_plugin import counting_plugin

CORES = {"raspberry-pi-3": "cortex-a53", "jetson-nano-cpu": "cortex-a57", "raspberry-pi-4": "cortex-a72"}
ROOT = Path.home() / ".cache/edgec-benchmarks/arm64"
_MARK_CALL, _CLOCK_CALL, _NO_CALL = 173, 113, -1
"""Linux's numbers of `getppid` and `clock_gettime` on aarch64; and of nothing."""
_LIMIT_SECONDS = 450


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference, and who spends them."""

    ours: int
    theirs: int
    pairs: list[Pair]

    def as_json(self) -> dict[str, float]:
        """Both counts, and ours over theirs."""
        return {"ours": self.ours, "onnxruntime": self.theirs, "ratio": round(self.ours / self.theirs, 4)}


def build(model: Path, target: str, shapes: list[str], folder: Path) -> Path:
    """Our artefact for the target."""
    options = [option for shape in shapes_only(shapes) for option in ("--shape", shape)]
    command = [str(Path(sys.executable).with_name("edgec")), "build", str(model), "--target", target, "--quiet"]
    launch([*command, *options, "--out", str(folder / "artefact")], folder)
    return folder / "artefact"


def launch(command: list[str], folder: Path) -> None:
    """Run a command, within a limit of time.

    Raises:
        RuntimeError: it failed; with the last line that it printed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {' '.join(last)}")


def count_ours(artefact: Path) -> tuple[int, list[int]]:
    """Instructions of an inference of the artefact, and of each of its kernels, as its report states them.

    Raises:
        RuntimeError: the report has none; with its reason.
    """
    report = json.loads((artefact / "report.json").read_text(encoding="utf-8"))
    total = report["metrics"]["instructions"]
    if "unavailable" in total:
        raise RuntimeError(total["unavailable"])
    return int(total["value"]), [layer["counts"]["instructions"] for layer in report["layers"]]


def count_theirs(
    model: Path, inputs: dict[str, np.ndarray], core: str, root: Path, folder: Path
) -> tuple[int, list[tuple[dict, int]]]:
    """Instructions of ONNX Runtime's last inference, and of each of its nodes."""
    np.savez(folder / "inputs.npz", **inputs)
    (folder / "count.so").write_bytes(counting_plugin(arm_root.EMULATOR))
    worker = [str(Path(__file__).with_name("arm_worker.py").resolve()), str(arm_root.site(root)), str(model)]
    for call, profile in ((_MARK_CALL, ""), (_CLOCK_CALL, "profile")):
        options = f"./count.so,clock={call},close={_NO_CALL},out=intervals-{call}.txt"
        launch([*arm_root.command(root, core, options), *worker, "inputs.npz", profile], folder)
    total = intervals(folder / f"intervals-{_MARK_CALL}.txt")[-1]
    events = profiled_runs(next(folder.glob("profile*.json")))[-1]
    return total, list(zip(events, aligned(events, intervals(folder / f"intervals-{_CLOCK_CALL}.txt")), strict=True))


def aligned(events: list[dict], counts: list[int]) -> list[int]:
    """The intervals that are the events': every second one, from where they fit the events' times best.

    ONNX Runtime reads the clock around every node, and some more times before the first and after the last.
    """
    span = 2 * len(events) - 1
    times = np.log(np.array([event["dur"] + 1.0 for event in events]))
    # The last inference lies in the last third of what three inferences and the ends of the program count.
    starts = range(len(counts) * 2 // 3 - span // 2, len(counts) - span + 1)
    fits = {
        start: float(np.corrcoef(times, np.log(np.array(counts[start : start + span : 2]) + 1.0))[0, 1])
        for start in starts
    }
    best = max(fits, key=lambda start: fits[start])
    return counts[best : best + span : 2]


def intervals(path: Path) -> list[int]:
    """Instructions between the marks; a line of the plugin's output holds them third."""
    return [int(line.split()[2]) for line in path.read_text(encoding="ascii").splitlines()]


def compare(model: Path, target: str, shapes: list[str], root: Path) -> Counts:
    """Both counts of one network."""
    core = CORES[target]
    arm_root.describe_core(root, core)
    inputs = seeded_inputs(model, shapes)
    with tempfile.TemporaryDirectory(prefix="arm-counts-") as name:
        folder = Path(name)
        artefact = build(model.resolve(), target, shapes, folder)
        ours, steps = count_ours(artefact)
        theirs, nodes = count_theirs(model.resolve(), inputs, core, root, folder)
        kernels = kernels_of(artefact / "report.json", steps)
        pairs = match(kernels, [node_of(event, count) for event, count in nodes], model)
    return Counts(ours, theirs, pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--target", choices=CORES, default="raspberry-pi-4")
    parser.add_argument("--shape", action="append", default=[], help="INPUT=1,3,48,192, where a model leaves it open")
    parser.add_argument("--layers", type=int, default=0, help="print so many of the layers that cost us most")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        arm_root.prepare(arguments.root.resolve())
    except arm_root.MissingError as reason:
        sys.exit(f"arm_counts: {reason}")
    results: dict[str, dict[str, float]] = {}
    print(f"| network ({arguments.target}) | ours, M | ONNX Runtime, M | ratio |\n|---|---|---|---|")
    details = []
    for model in arguments.models:
        counts = compare(model, arguments.target, arguments.shape, arguments.root.resolve())
        result = results[model.stem] = counts.as_json()
        millions = f"{counts.ours / 1e6:.1f} | {counts.theirs / 1e6:.1f}"
        print(f"| {model.stem} | {millions} | {result['ratio']:.2f} |", flush=True)
        details.append(f"\n{model.stem}\n\n{table(counts.pairs, arguments.layers, 'M', 1e6)}")
    mean = math.exp(sum(math.log(result["ratio"]) for result in results.values()) / len(results))
    print(f"| geometric mean | | | {mean:.2f} |")
    if arguments.layers:
        print("\n".join(details))
    if arguments.out:
        arguments.out.write_text(json.dumps({"target": arguments.target, "networks": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
