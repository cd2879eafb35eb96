"""What an artefact costs on its target: measured where it runs natively, else counted in emulation and predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgec.backends.gpu.nvrtc import INSTALL_NVRTC, MACHINE_CODE
from edgec.backends.plan import BuildPlan
from edgec.core.counts import NO_COUNTS, Counts
from edgec.core.metric import Metric, Mode, Unavailable, exact
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.tensor import Sample
from edgec.measure.board import BoardSession
from edgec.measure.board_timing import time_on_board
from edgec.measure.emulated_counts import METRICS, EmulatedCounts, count_inference
from edgec.measure.energy import energy_on_host
from edgec.measure.host_timing import HostTiming, time_on_host
from edgec.measure.prediction import predict
from edgec.measure.running import can_run

NATIVE = "native"


@dataclass(frozen=True)
class ArtifactCosts:
    """Costs of one inference, in total and by kernel call.

    Attributes:
        metrics: metrics of the report by name.
        layer_latency_ms: milliseconds of each kernel call, in the order of the plan.
        layer_energy_mj: millijoules of each kernel call.
        overhead_ms: time between the kernel calls that the meter accounts for.
        between_layers: what that time is.
        layer_counts: what each kernel call executes; None where it could not be counted.
        code_bytes: machine code.
        notes: why to trust a figure less than its band says.
    """

    metrics: Mapping[str, Metric]
    layer_latency_ms: tuple[Metric, ...]
    layer_energy_mj: tuple[Metric, ...]
    overhead_ms: float
    between_layers: str
    layer_counts: tuple[Counts | None, ...]
    code_bytes: int | Unavailable
    notes: tuple[str, ...]

    @classmethod
    def of_hardware(cls, plan: BuildPlan, metrics: Mapping[str, Metric], notes: tuple[str, ...]) -> ArtifactCosts:
        """The costs of a circuit, whose layers work side by side: none has a time or an energy of its own."""
        unknown = tuple(Unavailable(unavailable="the layers work at the same time") for _ in plan.layers)
        return cls(
            metrics=metrics,
            layer_latency_ms=unknown,
            layer_energy_mj=unknown,
            overhead_ms=0.0,
            between_layers="",
            layer_counts=tuple(None for _ in plan.layers),
            code_bytes=Unavailable(unavailable="hardware has no code"),
            notes=notes,
        )


def measure_costs(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    sample: Sample,
    threads: int,
    progress: Progress,
    board: BoardSession | None = None,
) -> ArtifactCosts:
    """Time, energy, instructions and size of the artefact in `folder`, timed on a board if there is one.

    Raises:
        EdgecError: EC065x where the artefact does not run as it should.
    """
    library = folder / plan.library
    size = library.stat().st_size
    memory = plan.memory
    sizes = {
        "artifact_bytes": exact(size, Mode.MEASURED, f"size of {plan.library}"),
        "peak_memory_bytes": exact(
            memory.activations_bytes + memory.scratch_bytes,
            Mode.PREDICTED,
            "size of the arena that every tensor has its place in, fixed at build; exact, stack and weights aside",
        ),
    }
    progress.start(f"measure on {target.name}")
    code_bytes = max(0, size - memory.weights_bytes)
    if board is not None:
        timed = time_on_board(board, sample)
        predicted, notes = predict(plan.layers, target, threads=threads), timed.notes + graphics_notes(plan)
        measured = _measured(folder, plan, target, sample, sizes, code_bytes, timed.burst, predicted.energy_mj, notes)
        return replace(measured, layer_energy_mj=predicted.layers_mj)
    if target.compiler.triple == NATIVE and can_run(plan.interface) is None:
        timing = time_on_host(folder, plan.interface, sample)
        notes = _noise(timing) + graphics_notes(plan)
        return _measured(
            folder, plan, target, sample, sizes, code_bytes, timing, _own_energy(folder, plan, sample), notes
        )
    return _predicted(folder, plan, target, sample, threads, sizes, code_bytes)


def _own_energy(folder: Path, plan: BuildPlan, sample: Sample) -> Metric:
    if plan.interface.graphics:
        return Unavailable(unavailable="the energy counters of this machine do not see a graphics processor")
    return energy_on_host(folder, plan.interface, sample)


def graphics_notes(plan: BuildPlan) -> tuple[str, ...]:
    """What a user should know of the kernels of an artefact for a graphics processor."""
    if plan.interface.graphics != "cuda" or MACHINE_CODE in plan.files:
        return ()
    return (
        "the kernels are shipped as CUDA C and compiled on the board, at the first run or by compile_on_board.sh: "
        f"NVRTC is not installed here ({INSTALL_NVRTC})",
    )


def _measured(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    sample: Sample,
    sizes: Mapping[str, Metric],
    code_bytes: int,
    timing: HostTiming,
    energy: Metric,
    notes: tuple[str, ...],
) -> ArtifactCosts:
    counts = count_inference(folder, plan.interface, sample, target.core)
    unmeasured = Unavailable(unavailable="the energy counters cannot tell kernels apart")
    # The runner's trace ends with the last kernel that ran; those after it are in a branch that was not taken.
    idle = exact(0.0, Mode.MEASURED, "did not run on these inputs")
    layer_latency_ms = timing.steps_ms + (idle,) * (len(plan.layers) - len(timing.steps_ms))
    return ArtifactCosts(
        metrics={
            **sizes,
            "latency_ms": timing.latency_ms,
            "energy_mj": energy,
            **_count_metrics(counts),
        },
        layer_latency_ms=layer_latency_ms,
        layer_energy_mj=tuple(unmeasured for _ in plan.layers),
        overhead_ms=abs(timing.remainder_ms.value),
        between_layers="calls, copies at the border and the timers between the kernels",
        layer_counts=_layer_counts(plan, counts),
        code_bytes=code_bytes,
        notes=notes,
    )


def _count_metrics(counts: EmulatedCounts | Unavailable) -> dict[str, Metric]:
    return dict.fromkeys(METRICS, counts) if isinstance(counts, Unavailable) else counts.metrics()


def _layer_counts(plan: BuildPlan, counts: EmulatedCounts | Unavailable) -> tuple[Counts | None, ...]:
    if isinstance(counts, Unavailable):
        return (None,) * len(plan.layers)
    return tuple(counts.steps.get(step, NO_COUNTS) for step in range(len(plan.layers)))


def _noise(timing: HostTiming) -> tuple[str, ...]:
    return (f"the machine was not quiet while timing: {timing.noise}",) if timing.noise else ()


def _predicted(
    folder: Path,
    plan: BuildPlan,
    target: Target,
    sample: Sample,
    threads: int,
    sizes: Mapping[str, Metric],
    code_bytes: int,
) -> ArtifactCosts:
    counts = count_inference(folder, plan.interface, sample, target.core)
    prediction = predict(plan.layers, target, threads=threads)
    return ArtifactCosts(
        metrics={
            **sizes,
            "latency_ms": prediction.latency_ms,
            "energy_mj": prediction.energy_mj,
            **_count_metrics(counts),
        },
        layer_latency_ms=prediction.layers_ms,
        layer_energy_mj=prediction.layers_mj,
        overhead_ms=0.0,
        between_layers="",
        layer_counts=_layer_counts(plan, counts),
        code_bytes=code_bytes,
        notes=graphics_notes(plan),
    )
