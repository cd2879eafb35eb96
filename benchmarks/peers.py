"""Compare our artefacts with other engines: same network, same inputs, fp32, taking turns, each in its own process.

Usage: python benchmarks/peers.py MODEL.onnx … [--threads 1] [--rounds 12] [--shape INPUT=1,3,48,192] [--out peers.json]
(an engine that is not installed, cannot convert a network, computes something else or takes too long is left out, with
its reason; `pip install openvino iree-base-compiler iree-base-runtime ncnn pnnx MNN ai-edge-litert onnx2tf`)
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import machine
import numpy as np
import performance_page

PACKAGES = {
    "edgec": "edgec",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "iree": "iree-base-compiler",
    "ncnn": "ncnn",
    "mnn": "mnn",
    "litert": "ai-edge-litert",
}
RUNS_PER_ROUND = 5
LONGEST_START_SECONDS = 150.0
LONGEST_ROUND_SECONDS = 60.0
SETTLE_SECONDS = 0.1
"""Between the turns of engines with several threads. An idle thread of ONNX Runtime keeps a core busy for 35 ms after a
run, waiting for the next; it would take the place of a thread of the engine whose turn it is."""
LARGEST_ERROR = 1e-2
"""Of the range of the reference's outputs; beyond it an engine computes something else."""


class WorkerError(Exception):
    """A worker cannot go on; the message says why."""


@dataclass
class Worker:
    """One engine with one network, in a process of its own."""

    engine: str
    process: subprocess.Popen[str]
    log: IO[str]
    memory_bytes: int = 0
    planned: dict[str, int] | None = None
    outputs: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self, count: int) -> None:
        """Time some runs, keep the round's median."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        self.seconds.append(statistics.median(json.loads(self.answer(LONGEST_ROUND_SECONDS))))

    def answer(self, limit_seconds: float) -> str:
        """The next line that holds JSON; engines print others in between.

        Raises:
            WorkerError: none came within the limit, or the process ended.
        """
        late = threading.Timer(limit_seconds, self.stop)
        late.start()
        try:
            for line in self.process.stdout:
                if line.startswith(("{", "[")):
                    return line
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not in_time:
            raise WorkerError(f"took longer than {limit_seconds:.0f} s")
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        raise WorkerError(lines[-1][:200] if lines else f"ended with {self.process.wait()}")

    def stop(self) -> None:
        """End the process and what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(engine: str, model: Path, threads: int, shapes: list[str]) -> Worker:
    """A worker that is ready.

    Raises:
        WorkerError: there is none; with the reason.
    """
    command = [sys.executable, str(Path(__file__).with_name("engines.py")), engine, str(model), str(threads), *shapes]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 -- lives as long as the worker
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        errors="replace",
        env=environment,
        process_group=0,
    )
    worker = Worker(engine, process, log)
    try:
        ready = json.loads(worker.answer(LONGEST_START_SECONDS))
        if "unavailable" in ready:
            raise WorkerError(ready["unavailable"])
    except WorkerError:
        worker.stop()
        raise
    worker.memory_bytes, worker.planned = ready["memory_bytes"], ready["planned"]
    with np.load(ready["outputs"]) as arrays:
        worker.outputs = [arrays[name] for name in arrays.files]
    return worker


def start_all(engines: list[str], model: Path, threads: int, shapes: list[str]) -> dict[str, Worker | WorkerError]:
    """Workers of all engines, or why there is none; some of their converters run at the same time."""

    def attempt(engine: str) -> Worker | WorkerError:
        try:
            return start(engine, model, threads, shapes)
        except WorkerError as reason:
            return reason

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as at_once:
        return dict(zip(engines, at_once.map(attempt, engines), strict=True))


def compare(model: Path, threads: int, rounds: int, shapes: list[str], engines: list[str]) -> dict[str, dict[str, Any]]:
    """Milliseconds (median and quartiles), error against ONNX Runtime and memory of the engines on one network."""
    table: dict[str, dict[str, Any]] = {}
    workers: list[Worker] = []
    reference: list[np.ndarray] | None = None
    started = start_all(engines, model, threads, shapes)
    try:
        workers += [worker for worker in started.values() if isinstance(worker, Worker)]
        for engine, worker in started.items():
            try:
                if isinstance(worker, WorkerError):
                    raise worker
                # ONNX Runtime comes first: the others are compared with it.
                reference = reference or worker.outputs
                table[engine] = {"relative_error": checked_error(worker.outputs, reference)}
                worker.run(2)
                worker.seconds.clear()
            except WorkerError as reason:
                table[engine] = {"unavailable": str(reason)}
        ready = [worker for worker in workers if "unavailable" not in table[worker.engine]]
        for _ in range(rounds):
            for worker in ready:
                if "unavailable" not in table[worker.engine]:
                    run_round(worker, table)
                    time.sleep(SETTLE_SECONDS if threads > 1 else 0)
        for worker in ready:
            if "unavailable" not in table[worker.engine]:
                table[worker.engine] |= figures(worker)
    finally:
        for worker in workers:
            worker.stop()
    return table


def run_round(worker: Worker, table: dict[str, dict[str, Any]]) -> None:
    """One turn of an engine; one that fails is out."""
    try:
        worker.run(RUNS_PER_ROUND)
    except (WorkerError, BrokenPipeError) as reason:
        table[worker.engine] = {"unavailable": str(reason)}


def figures(worker: Worker) -> dict[str, Any]:
    """What is reported of an engine; the best turn tells what others on the machine took from the median."""
    low, middle, high = np.percentile(np.array(worker.seconds) * 1e3, [25, 50, 75])
    planned = worker.planned and {name.removesuffix("_bytes"): size for name, size in worker.planned.items()}
    return {
        "ms": round(float(middle), 4),
        "ms_best": round(min(worker.seconds) * 1e3, 4),
        "ms_low": round(float(low), 4),
        "ms_high": round(float(high), 4),
        "resident_bytes": worker.memory_bytes,
        **({"planned_bytes": planned} if planned else {}),
    }


def checked_error(outputs: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """Largest difference over the range of the reference.

    Raises:
        WorkerError: other outputs, or an error that no rounding explains.
    """
    if sorted(array.size for array in outputs) != sorted(array.size for array in reference):
        raise WorkerError(f"its outputs have the shapes {[array.shape for array in outputs]}")
    errors = [
        min(difference(output, wanted) for output in outputs if output.size == wanted.size) for wanted in reference
    ]
    if not max(errors) <= LARGEST_ERROR:
        raise WorkerError(f"it computes something else: an error of {max(errors):.1e} of the range of the outputs")
    return float(max(errors))


def difference(output: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference over the range of what is wanted."""
    spread = np.abs(output.reshape(wanted.shape).astype(np.float64) - wanted)
    return float(spread.max() / (np.ptp(wanted) or 1.0))


def versions() -> dict[str, str]:
    """Versions of the engines that are installed."""
    found = {}
    for engine, package in PACKAGES.items():
        try:
            found[engine] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(
    models: list[Path], threads: int, rounds: int, shapes: dict[str, list[str]], engines: list[str] | None = None
) -> dict[str, Any]:
    """Results of every network, and of what they were measured on and with.

    Args:
        models: the networks.
        threads: of every engine.
        rounds: turns of every engine.
        shapes: by network the shapes of inputs that it leaves open, `INPUT=1,3,48,192`.
        engines: those to compare, all if it is not given; ONNX Runtime is among them always, as the reference.
    """
    seen = machine.observe()
    print(f"{seen.processor}, {seen.cores} cores, load {seen.load:.1f}", file=sys.stderr)
    if seen.warning:
        print(f"warning: {seen.warning}", file=sys.stderr)
    others = [engine for engine in PACKAGES if engine != "onnxruntime" and (engines is None or engine in engines)]
    chosen = ["onnxruntime", *others]
    networks = {}
    for model in models:
        networks[model.stem] = compare(model, threads, rounds, shapes.get(model.stem, []), chosen)
        print(model.stem, json.dumps(networks[model.stem]), file=sys.stderr, flush=True)
    return {
        "machine": seen.as_json(),
        "engines": versions(),
        "threads": threads,
        "rounds": rounds,
        "runs_per_round": RUNS_PER_ROUND,
        "networks": networks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--shape", action="append", default=[], help="INPUT=1,3,48,192, where a network leaves it open")
    parser.add_argument("--engines", help="some of them, with commas between; all unless said")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    shapes = {model.stem: arguments.shape for model in arguments.models}
    engines = arguments.engines.split(",") if arguments.engines else None
    results = measure(arguments.models, arguments.threads, arguments.rounds, shapes, engines)
    print(performance_page.ratios(results))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
