"""The layers in which we lose most time against ONNX Runtime on this machine, one thread each, taking turns.

Usage: python benchmarks/layer_losses.py MODEL.onnx … [--rounds 8] [--layers 10] [--shape INPUT=1,3,48,192]
Our times are those of the artefact's own trace, theirs of ONNX Runtime's profile, whose resolution is a microsecond.
Of each layer the least mean over a round counts: on a machine that is not quiet it is disturbed least.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np
import onnxruntime
from engines import Inputs, convert, script, seeded_inputs, shapes_only
from layer_match import Node, Pair, kernels_of, match, node_of, profiled_runs, table

_RUNS = 5


def profiled(model: Path, inputs: Inputs, folder: Path) -> list[Node]:
    """ONNX Runtime's nodes with their mean nanoseconds over a round."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    for _ in range(_RUNS + 1):
        session.run(None, inputs)
    runs = profiled_runs(Path(session.end_profiling()))[1:]
    return [
        node_of(events[0], 1e3 * statistics.mean(event["dur"] for event in events))
        for events in zip(*runs, strict=True)
    ]


def traced(artefact: Path, folder: Path) -> list[float]:
    """Mean nanoseconds of our kernels over a round, in order."""
    interface = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))["interface"]
    options = ["--warmup", "1", "--iterations", str(_RUNS), "--trace", str(folder / "trace.jsonl")]
    command = [str(artefact / interface["runner"]), str(folder / "inputs.bin"), str(folder / "outputs.bin"), *options]
    subprocess.run(command, check=True, capture_output=True)
    lines = (folder / "trace.jsonl").read_text(encoding="ascii").splitlines()
    return [float(json.loads(line)["nanoseconds"]) for line in lines]


def losses(model: Path, shapes: list[str], rounds: int) -> list[Pair]:
    """Our kernels beside ONNX Runtime's nodes, the costliest loss first; costs are nanoseconds."""
    inputs = seeded_inputs(model, shapes)
    with tempfile.TemporaryDirectory(prefix="layers-") as name:
        folder = Path(name)
        artefact = folder / "artefact"
        given = [f"--shape={shape}" for shape in shapes_only(shapes)]
        convert([script("edgec"), "build", model, "--target", "host", "--quiet", *given, "--out", artefact], folder)
        (folder / "inputs.bin").write_bytes(b"".join(array.tobytes() for array in inputs.values()))
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(traced(artefact, folder))
            theirs.append(profiled(model, inputs, folder))
        kernels = kernels_of(artefact / "report.json", list(np.min(ours, axis=0)))
    # Sessions may order the branches of a network differently: by name, not by place.
    least: dict[str, Node] = {}
    for node in (node for nodes in theirs for node in nodes):
        if node.name not in least or node.cost < least[node.name].cost:
            least[node.name] = node
    return match(kernels, list(least.values()), model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--shape", action="append", default=[], help="INPUT=1,3,48,192, where a network leaves it open")
    arguments = parser.parse_args()
    seen = machine.observe()
    print(f"{seen.processor}, {seen.cores} cores, load {seen.load:.1f}", file=sys.stderr)
    if seen.warning:
        print(f"warning: {seen.warning}", file=sys.stderr)
    for model in arguments.models:
        pairs = losses(model.resolve(), arguments.shape, arguments.rounds)
        ours, theirs = sum(pair.ours for pair in pairs), sum(pair.theirs for pair in pairs)
        print(f"\n{model.stem}: ours {ours / 1e6:.3f} ms, theirs {theirs / 1e6:.3f} ms, ratio {ours / theirs:.2f}\n")
        print(table(pairs, arguments.layers, "ms", 1e6), flush=True)


if __name__ == "__main__":
    main()
