"""Runs networks through the OpenCL driver of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgec.backends.executor import execute
from edgec.backends.gpu.backend import GpuBackend
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.backends.artifacts import run
from tests.gpu.networks import RNG


@dataclass(frozen=True)
class Computed:
    """What a network was given, and what it made of it, both by name and in order."""

    given: dict[str, np.ndarray]
    made: dict[str, np.ndarray]


def run_on_opencl(model: onnx.ModelProto, folder: Path) -> Computed:
    """The outputs for normally distributed inputs; every step must run on the graphics processor."""
    plan = GpuBackend().plan(
        ir.from_proto(model), load_target("opencl-generic"), name="net", threads=1, progress=Silent()
    )
    execute(plan, folder, Silent())
    assert all("plainer schedule" in fallback.reason for fallback in plan.fallbacks)
    given = {spec.name: RNG.standard_normal(spec.shape).astype(spec.dtype) for spec in plan.interface.inputs}
    made, _ = run(plan, folder, given)
    return Computed(given, made)
