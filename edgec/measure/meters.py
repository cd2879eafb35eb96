"""Which meter weighs an artefact: one a backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgec.backends.plan import BuildPlan
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.tensor import Sample
from edgec.measure.artifact_costs import ArtifactCosts, measure_costs
from edgec.measure.board import BoardSession


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
    # Tools of hardware are loaded for hardware only.
    if target.backend == "rtl":
        from edgec.measure.hardware_cost import measure_hardware

        return measure_hardware(folder, plan, target, tuple(samples), progress)
    if target.backend == "hls4ml":
        from edgec.measure.hls_cost import estimate_synthesis

        return estimate_synthesis(folder, plan, target)
    return measure_costs(folder, plan, target, samples[0], threads, progress, board)
