"""Builds kernel graphs to artefacts and runs them the way a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan
from edgec.backends.tvm.backend import plan_graph
from edgec.backends.tvm.kernel_graph import Block, KernelGraph
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.core.tensor import TensorSpec


def plan_for(block: Block, target: str = "host", name: str = "net", threads: int = 1) -> BuildPlan:
    inputs, outputs = (
        tuple(TensorSpec(name=value.name, dtype=value.dtype, shape=value.shape) for value in values)
        for values in (block.parameters, block.results)
    )
    graph = KernelGraph(name, block)
    return plan_graph(graph, inputs, outputs, load_target(target), threads=threads, progress=Silent())


def build(block: Block, folder: Path, target: str = "host", name: str = "net", threads: int = 1) -> BuildPlan:
    plan = plan_for(block, target, name, threads)
    execute(plan, folder, Silent())
    return plan


def run(
    plan: BuildPlan, folder: Path, inputs: Mapping[str, np.ndarray], options: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], list[dict[str, int]]]:
    """Outputs by name, and the lines of timings, of the artefact's runner."""
    given = [np.ascontiguousarray(inputs[spec.name], spec.dtype) for spec in plan.interface.inputs]
    given_path, made_path = folder / "given.bin", folder / "made.bin"
    given_path.write_bytes(b"".join(array.tobytes() for array in given))
    program = folder / str(plan.interface.runner)
    finished = subprocess.run(
        [*plan.interface.emulator, str(program), str(given_path), str(made_path), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    contents, outputs = made_path.read_bytes(), {}
    for spec in plan.interface.outputs:
        outputs[spec.name] = np.frombuffer(contents[: spec.size_bytes], spec.dtype).reshape(spec.shape)
        contents = contents[spec.size_bytes :]
    assert not contents
    return outputs, [json.loads(line) for line in finished.stdout.splitlines()]


def run_library(folder: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name of the shared library, through the artefact's own loader, without edgec."""
    np.savez(folder / "x.npz", **inputs)
    finished = subprocess.run(
        [sys.executable, str(folder / "run.py"), str(folder / "x.npz"), str(folder / "y.npz")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert finished.returncode == 0, finished.stderr
    with np.load(folder / "y.npz") as arrays:
        return dict(arrays)
