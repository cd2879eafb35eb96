"""What a circuit of high-level synthesis costs: estimates until the vendor's report is there."""

from __future__ import annotations

from pathlib import Path

from edgec.backends.hls4ml.work import FILE_NAME, WORK
from edgec.backends.plan import BuildPlan
from edgec.core.metric import Metric, Mode, Unavailable, Value, exact
from edgec.core.target import Target
from edgec.core.target_hls import Hls
from edgec.measure.artifact_costs import ArtifactCosts
from edgec.measure.hls_estimate import banded, banded_cycles, estimate


def estimate_synthesis(folder: Path, plan: BuildPlan, target: Target) -> ArtifactCosts:
    """Estimates for the project in `folder`."""
    hls = target.hls
    if hls is None:
        raise TypeError(f"target {target.name} has no section [hls]")
    found = estimate(WORK.validate_json((folder / FILE_NAME).read_bytes()), hls)
    cycles = banded_cycles(found.cycles)
    metrics: dict[str, Metric] = {
        "luts": banded(found.luts),
        "flip_flops": banded(found.flip_flops),
        "dsps": banded(found.dsps),
        "block_ram_kbit": banded(found.block_ram_kbit),
        "cycles": cycles,
        "initiation_interval": banded_cycles(found.initiation_interval),
        "fmax_mhz": Unavailable(unavailable="the vendor's synthesis has not run; see the artefact's Makefile"),
        **timing(cycles, hls),
        "artifact_bytes": exact((folder / plan.library).stat().st_size, Mode.MEASURED, f"size of {plan.library}"),
        "peak_memory_bytes": Unavailable(unavailable="intermediate values are in registers"),
    }
    return ArtifactCosts.of_hardware(plan, metrics, _notes(found.luts, found.dsps, hls))


def timing(cycles: Value, hls: Hls) -> dict[str, Metric]:
    """Latency at the clock of the datasheet, and the board's energy over it."""
    to_ms = 1 / hls.clock_mhz.value / 1e3
    latency = _scaled(cycles, to_ms, f"cycles at {hls.clock_mhz.value:g} MHz")
    if hls.board_w is None:
        return {"latency_ms": latency, "energy_mj": Unavailable(unavailable="nobody has published this board's power")}
    energy = _scaled(latency, hls.board_w.value, f"latency times {hls.board_w.value:g} W ({hls.board_w.source})")
    return {"latency_ms": latency, "energy_mj": energy.model_copy(update={"mode": Mode.PREDICTED})}


def _scaled(value: Value, factor: float, source: str) -> Value:
    return Value(
        value=value.value * factor,
        low=value.low * factor,
        high=value.high * factor,
        mode=value.mode,
        source=f"{source}; {value.source}",
    )


def _notes(luts: float, dsps: float, hls: Hls) -> tuple[str, ...]:
    uses = ((luts, hls.luts, "look-up tables"), (dsps, hls.dsps, "multipliers"))
    return tuple(
        f"the circuit may not fit: about {use:,.0f} {what}, {have.value:,.0f} are there; raise reuse_factor"
        for use, have, what in uses
        if use > have.value
    )
