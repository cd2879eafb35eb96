"""Compare our artefacts with other engines: same network, same input, fp32, interleaved in one process tree.

Usage: python benchmarks/peers.py FOLDER_OF_ONNX [--threads 1] [--rounds 12] [--out docs/reference/peers.json]
(needs openvino, iree-base-compiler, iree-base-runtime, ncnn and pnnx beside edgec; an engine that is not there, or
cannot convert a network, is left out with its reason)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ENGINES = ("edgec", "onnxruntime", "openvino", "iree", "ncnn")
RUNS_PER_ROUND = 5


@dataclass
class Worker:
    """One engine with one network, in a process of its own."""

    engine: str
    process: subprocess.Popen[str]
    memory_bytes: int
    outputs: list[np.ndarray]
    seconds: list[float] = field(default_factory=list)

    def run(self, count: int) -> None:
        """Time some runs, keep the round's median."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        self.seconds.append(statistics.median(json.loads(self.process.stdout.readline())))

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def start(engine: str, model: Path, threads: int) -> Worker | str:
    """A worker that is ready, or the reason why there is none."""
    command = [sys.executable, str(Path(__file__).with_name("engines.py")), engine, str(model), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    line = ""
    for line in process.stdout:
        if line.startswith("{"):
            break
    if not line.startswith("{"):
        return process.stderr.read().strip().splitlines()[-1]
    ready = json.loads(line)
    with np.load(ready["outputs"]) as arrays:
        outputs = [arrays[name] for name in arrays.files]
    return Worker(engine, process, ready["memory_bytes"], outputs)


def compare(model: Path, threads: int, rounds: int) -> dict[str, dict[str, float | str]]:
    """Milliseconds (median and quartiles), error against ONNX Runtime and memory of every engine on one network."""
    table: dict[str, dict[str, float | str]] = {}
    workers: list[Worker] = []
    for engine in ENGINES:
        worker = start(engine, model, threads)
        if isinstance(worker, str):
            table[engine] = {"unavailable": worker}
        else:
            workers.append(worker)
    for worker in workers:
        worker.run(2)
        worker.seconds.clear()
    for _ in range(rounds):
        for worker in workers:
            worker.run(RUNS_PER_ROUND)
    reference = next(worker.outputs for worker in workers if worker.engine == "onnxruntime")
    for worker in workers:
        low, middle, high = np.percentile(np.array(worker.seconds) * 1e3, [25, 50, 75])
        table[worker.engine] = {
            "ms": float(middle),
            "ms_low": float(low),
            "ms_high": float(high),
            "relative_error": error(worker.outputs, reference),
            "memory_mib": worker.memory_bytes / 2**20,
        }
        worker.stop()
    return table


def error(outputs: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """Largest difference over the range of the reference."""
    return max(
        float(np.abs(output.reshape(wanted.shape) - wanted).max() / (np.ptp(wanted) or 1.0))
        for output, wanted in zip(outputs, reference, strict=True)
    )


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def summary(results: dict[str, dict[str, dict[str, float | str]]]) -> str:
    """A Markdown table: our time over each engine's, and over the best peer's."""
    lines = ["| network | ours, ms | " + " | ".join(f"/ {engine}" for engine in ENGINES[1:]) + " | / best peer |"]
    lines.append("|---|" + "---|" * (len(ENGINES) + 1))
    ratios: dict[str, list[float]] = {engine: [] for engine in (*ENGINES[1:], "best")}
    for network, table in results.items():
        if "ms" not in table["edgec"]:
            lines.append(f"| {network} | {table['edgec']['unavailable']} |" + " |" * len(ENGINES))
            continue
        ours = float(table["edgec"]["ms"])
        cells = []
        peers = {engine: float(table[engine]["ms"]) for engine in ENGINES[1:] if "ms" in table[engine]}
        for engine in ENGINES[1:]:
            if engine in peers:
                ratios[engine].append(ours / peers[engine])
            cells.append(f"{ours / peers[engine]:.2f}" if engine in peers else "–")
        ratios["best"].append(ours / min(peers.values()))
        lines.append(f"| {network} | {ours:.2f} | " + " | ".join(cells) + f" | {ratios['best'][-1]:.2f} |")
    means = [f"{geometric_mean(ratios[name]):.2f}" if ratios[name] else "–" for name in (*ENGINES[1:], "best")]
    lines.append("| geometric mean | | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {}
    for model in sorted(arguments.folder.glob("*.onnx")):
        results[model.stem] = compare(model, arguments.threads, arguments.rounds)
        print(model.stem, json.dumps(results[model.stem]), file=sys.stderr, flush=True)
    print(summary(results))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
