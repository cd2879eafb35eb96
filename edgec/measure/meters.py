"""Which meter weighs an artefact: one a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgec.backends.plan import BuildPlan
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.tensor import Sample
from edgec.measure.artifact_costs import ArtifactCosts, measure_costs
from edgec.measure.board import BoardSession

Meter = Callable[
    [Path, BuildPlan, Target, Sequence[Sample], int, Progress, BoardSession | None],
    ArtifactCosts,
]


def measure_artifact(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    samples: Sequence[Sample],
    threads: int,
    progress: Progress,
    board: BoardSession | None = None,
) -> ArtifactCosts:
    """What the artefact in `folder` costs, by the meter of its backend.

    Raises:
        EdgecError: EC065x where the artefact does not run as it should.
    """
    return _METERS[target.backend](folder, plan, target, samples, threads, progress, board)


def _program(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    samples: Sequence[Sample],
    threads: int,
    progress: Progress,
    board: BoardSession | None,
) -> ArtifactCosts:
    return measure_costs(folder, plan, target, samples[0], threads, progress, board)


def _hardware(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    samples: Sequence[Sample],
    threads: int,
    progress: Progress,
    board: BoardSession | None,
) -> ArtifactCosts:
    from edgec.measure.hardware_cost import measure_hardware

    return measure_hardware(folder, plan, target, tuple(samples), progress)


def _synthesis(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    samples: Sequence[Sample],
    threads: int,
    progress: Progress,
    board: BoardSession | None,
) -> ArtifactCosts:
    from edgec.measure.hls_cost import estimate_synthesis

    return estimate_synthesis(folder, plan, target)


_METERS: Mapping[str, Meter] = {"tvm": _program, "rtl": _hardware, "hls4ml": _synthesis}
