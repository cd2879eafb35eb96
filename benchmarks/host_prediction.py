"""Predicted beside measured latency of our artefacts on this machine, once it is calibrated.

    edgec targets calibrate
    python benchmarks/host_prediction.py MODEL.onnx … [--shape MODEL:INPUT=1,3,48,192] [--undisturbed] [--out PAGE.md]

The calibration has seen none of the models: it times small networks of its own. `--undisturbed` times under the
real-time scheduler (needs root), so that other processes of a busy machine wait for the seconds of each measurement.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgec.backends.executor import execute
from edgec.backends.selection import backend_for
from edgec.cli.options import parse_shapes
from edgec.core.metric import Value
from edgec.core.passes import PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.progress import Silent
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.measure.host_timing import time_on_host
from edgec.measure.prediction import predict
from edgec.pass_list import pass_list, size_with_shapes

GOAL = 0.15
_SECONDS = 2.0
_REAL_TIME_PRIORITY = 20


@dataclass(frozen=True)
class Row:
    """One network."""

    name: str
    kernels: int
    predicted: Value
    measured_ms: float

    @property
    def error(self) -> float:
        """Predicted over measured latency, less one."""
        return self.predicted.value / self.measured_ms - 1

    @property
    def covered(self) -> bool:
        """Whether the interval holds the measured latency."""
        return self.predicted.low <= self.measured_ms <= self.predicted.high


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let this process and those that it starts go before all others, on one processor."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(processors)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REAL_TIME_PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, processors)


def compare(model: Path, shapes: dict[str, tuple[int, ...]], target: Target, *, alone: bool) -> Row:
    """Build a network as `edgec build` does, predict it, and time it with one thread."""
    loaded, backend = load_model(model), backend_for(target)
    pipeline = Pipeline(pass_list("exact", shapes, backend.prerequisites), OpenGate(), size_with_shapes(shapes))
    lowered = pipeline.run(loaded.model, PassContext(target)).model
    plan = backend.plan(lowered, target, name=loaded.name, threads=1, progress=Silent())
    predicted = predict(plan.layers, target, threads=1).latency_ms
    if not isinstance(predicted, Value):
        raise SystemExit(f"{model.name}: {predicted.unavailable}")
    with tempfile.TemporaryDirectory(prefix="predicted-") as name:
        execute(plan, Path(name), Silent())
        sample = sample_inputs(lowered, 1, 0)[0]
        with undisturbed() if alone else nullcontext():
            timing = time_on_host(Path(name), plan.interface, sample, seconds=_SECONDS)
    return Row(model.stem, len(plan.layers), predicted, timing.latency_ms.value)


def page(rows: list[Row]) -> str:
    """The table, and how many rows hold the goal."""
    lines = ["| network | kernels | predicted ms | interval | measured ms | error |", "|---|---|---|---|---|---|"]
    for row in rows:
        low, high = row.predicted.low, row.predicted.high
        cells = (row.name, row.kernels, f"{row.predicted.value:.3g}", f"{low:.3g} to {high:.3g}")
        lines.append(f"| {' | '.join(map(str, cells))} | {row.measured_ms:.3g} | {row.error:+.0%} |")
    errors = np.abs([row.error for row in rows])
    held, covered = int(np.sum(errors <= GOAL)), sum(row.covered for row in rows)
    lines += [
        "",
        f"{held} of {len(rows)} networks within {GOAL:.0%}, {covered} in the interval, mean error {errors.mean():.1%}.",
        f"{rows[0].predicted.source}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--shape", action="append", default=[], metavar="MODEL:INPUT=1,3,48,192")
    parser.add_argument("--undisturbed", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    target = load_target("host")
    rows = []
    for model in arguments.models:
        own = [text.partition(":")[2] for text in arguments.shape if text.partition(":")[0] == model.stem]
        rows.append(compare(model, parse_shapes(own), target, alone=arguments.undisturbed))
        print(f"{rows[-1].name}: {rows[-1].error:+.0%}", flush=True)
    print(page(rows))
    if arguments.out:
        arguments.out.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
