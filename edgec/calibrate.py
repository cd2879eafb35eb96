"""The verb `targets calibrate`: measure how fast this machine does each class of work of our kernels."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan
from edgec.backends.selection import backend_for
from edgec.core.interface import Interface
from edgec.core.output_file import whole_file
from edgec.core.passes import PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.graph.cost import model_size
from edgec.measure.calibration import Calibration, TimedNetwork, calibrate, calibration_file
from edgec.measure.calibration_networks import calibration_networks
from edgec.measure.host_timing import time_on_host
from edgec.pass_list import pass_list

_HOST = "host"
_SECONDS_EACH = 4.0
_MICROSECONDS = 1e3


def calibrate_host(threads: int, progress: Progress) -> Calibration:
    """Build small networks for this machine, time their kernels, and keep the rates for predictions.

    Args:
        threads: threads that kernels are split over.
        progress: told of each network.

    Raises:
        EdgecError: what building and running an artefact raise; EC0106 where the rates cannot be written.
    """
    target = load_target(_HOST)
    networks = tuple(_timed(model, target, threads, progress) for model in calibration_networks())
    today = datetime.now().astimezone().date()
    calibration = calibrate(networks, target, threads=threads, today=today)
    path = calibration_file(target, threads)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path) as file:
        file.write(calibration.model_dump_json(indent=2).encode() + b"\n")
    return calibration


def _timed(model: ir.Model, target: Target, threads: int, progress: Progress) -> TimedNetwork:
    name = str(model.graph.name)
    with tempfile.TemporaryDirectory(prefix="edgec-calibrate-") as folder:
        plan = _built(model, name, target, threads, Path(folder), progress)
        progress.start(f"time {name}")
        timing = time_on_host(Path(folder), plan.interface, _noise(plan.interface), seconds=_SECONDS_EACH)
    # Each kernel bears its share of the time between the kernels: it grows with their number.
    between = timing.remainder_ms.value / len(plan.layers)
    times = tuple((step.value + between) * _MICROSECONDS for step in timing.steps_ms)
    return TimedNetwork(plan.layers, times)


def _built(model: ir.Model, name: str, target: Target, threads: int, folder: Path, progress: Progress) -> BuildPlan:
    backend = backend_for(target)
    pipeline = Pipeline(pass_list("exact", {}, backend.prerequisites), OpenGate(), model_size)
    lowered = pipeline.run(model, PassContext(target, progress=progress)).model
    plan = backend.plan(lowered, target, name=name, threads=threads, progress=progress)
    execute(plan, folder, progress)
    return plan


def _noise(interface: Interface) -> Sample:
    random = np.random.default_rng(0)
    return {spec.name: random.standard_normal(spec.shape).astype(spec.dtype) for spec in interface.inputs}
