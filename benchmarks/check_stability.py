"""Does load on the machine raise a false alarm of `edgec check`, and do counts repeat?

Builds a small network for this machine twice, and counts both. Takes a baseline of the latency, then keeps every core
busy and judges the latency again, as often as asked for. Any broken budget is a false alarm, because nothing was
changed. At last the baseline is made half as long, which is a real regression of 100 %: it must be caught, if the
machine is quiet then.

    python benchmarks/check_stability.py MODEL.onnx [--repeats 100] [--seconds 0.5] [--allowed 10%]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

from edgec.budgets.baseline import Entry, Figure
from edgec.budgets.judging import Compared, Judgement, judge
from edgec.build import BuildOptions, build
from edgec.core.configuration import Limit
from edgec.core.counts import Counts
from edgec.core.manifest import read_manifest
from edgec.core.metric import Unavailable, Value
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.measure.emulated_counts import count_inference
from edgec.measure.host_timing import time_on_host
from edgec.report.check_records import Outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--allowed", default="10%")
    given = parser.parse_args()
    limit = Limit(max_increase=given.allowed)
    with tempfile.TemporaryDirectory() as name:
        folder = built(given.model, Path(name) / "artifact")
        sample = sample_inputs(load_model(folder / "model.onnx").model, 1, 0)[0]
        counts = [counted(each, sample) for each in (folder, built(given.model, Path(name) / "again"))]
        same = "identical" if counts[0] == counts[1] else "DIFFERENT"
        print(f"counts of two builds are {same}: {counts[0]}", flush=True)
        before = latency(folder, sample, given.seconds)
        print(f"baseline {before.value:.4f} ms ({before.low:.4f} to {before.high:.4f})", flush=True)
        alarms = under_load(folder, sample, limit, before, given.repeats, given.seconds)
        load = os.getloadavg()[0]
        print(f"{alarms} false alarms in {given.repeats} repeats with every core busy, load {load:.0f}", flush=True)
        half = before.model_copy(update={name: getattr(before, name) / 2 for name in ("value", "low", "high")})
        print("twice the baseline:", judged(limit, latency(folder, sample, given.seconds), half).outcome.value)


def built(model: Path, folder: Path) -> Path:
    """An artefact for this machine."""
    options = BuildOptions(model=model, target="host", out=folder)
    return build(options, Silent()).folder


def counted(folder: Path, sample: Sample) -> Counts | Unavailable:
    """The counts as `edgec check` has them."""
    found = count_inference(folder, read_manifest(folder).interface, sample, load_target("host").core)
    return found if isinstance(found, Unavailable) else found.total


def under_load(folder: Path, sample: Sample, limit: Limit, before: Value, repeats: int, seconds: float) -> int:
    """How often the budget is broken while every core is busy."""
    busy = [multiprocessing.Process(target=spin, args=(os.getpid(),), daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    slowest, alarms = 0.0, 0
    try:
        for _ in range(repeats):
            now = latency(folder, sample, seconds)
            slowest = max(slowest, now.value)
            alarms += judged(limit, now, before).outcome is Outcome.BROKEN
    finally:
        for process in busy:
            process.terminate()
    print(f"slowest median under load {slowest:.4f} ms, {slowest / before.value:.2f} times the baseline")
    return alarms


def latency(folder: Path, sample: Sample, seconds: float) -> Value:
    """The latency as `edgec check` has it."""
    return time_on_host(folder, read_manifest(folder).interface, sample, seconds=seconds).latency_ms


def judged(limit: Limit, now: Value, before: Value) -> Judgement:
    """The outcome of one measurement; `edgec check` takes up to three before a budget counts as broken."""
    old, new = (
        Entry(made_by={}, passes=(), metrics={"latency_ms": Figure.of(value)}, layers=()) for value in (before, now)
    )
    return judge(limit, Compared("latency_ms", now, new, old))


def spin(parent: int) -> None:
    """Keep a core busy for as long as the process that asked for it lives, however that ends."""
    while os.getppid() == parent:
        sum(range(10_000))


if __name__ == "__main__":
    main()
