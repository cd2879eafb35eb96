"""What hardware made for one network costs: cells and clock as reported, cycles and energy as simulated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgec.backends.plan import BuildPlan
from edgec.backends.rtl.hardware_description import FILE_NAME, MAPPED, PLACED, HardwareDescription
from edgec.core.metric import Metric, Mode, Unavailable, Value, exact
from edgec.core.progress import Progress
from edgec.core.target import Asic, Fpga, Target
from edgec.core.tensor import Sample
from edgec.measure.artifact_costs import ArtifactCosts
from edgec.measure.cell_energy import FpgaEnergies, fpga_energies
from edgec.measure.rtl_simulation import Activity, simulate
from edgec.measure.silicon_cost import silicon_costs

_LUTS = {"ecp5": ("TRELLIS_COMB",), "ice40": ("ICESTORM_LC",), "gowin": ("LUT4", "ALU")}

_FJ_PER_MJ = 1e12
_BUSY_SAMPLES = 64


@dataclass(frozen=True)
class _Placed:
    """What place-and-route reports."""

    used: Mapping[str, int]
    fmax_mhz: float | None


def measure_hardware(
    folder: Path, plan: BuildPlan, target: Target, samples: tuple[Sample, ...], progress: Progress
) -> ArtifactCosts:
    """Cells, clock, cycles and energy of the hardware artefact in `folder`.

    Raises:
        EdgecError: EC0651 to EC0653 where the simulator fails.
    """
    progress.start(f"simulate the activity on {target.name}")
    description = HardwareDescription.model_validate_json((folder / FILE_NAME).read_text(encoding="utf-8"))
    repeated = tuple(samples[at % len(samples)] for at in range(max(_BUSY_SAMPLES * 2, len(samples))))
    activity = simulate(folder, plan.interface, repeated)
    if target.fpga is not None:
        metrics, notes = _fpga_metrics(folder, plan, target.fpga, description, activity, len(repeated))
    else:
        metrics, notes = silicon_costs(folder, _asic(target), description, activity, len(repeated))
    return ArtifactCosts.of_hardware(plan, metrics, notes)


def _fpga_metrics(
    folder: Path, plan: BuildPlan, fpga: Fpga, description: HardwareDescription, activity: Activity, count: int
) -> tuple[dict[str, Metric], tuple[str, ...]]:
    placed = _placed(folder)
    source = "nextpnr, after routing"
    clock = placed.fmax_mhz
    cycles = description.latency_cycles or activity.latency_cycles
    interval = description.initiation_interval or activity.interval_cycles
    luts = sum(placed.used.get(name, 0) for name in _LUTS[fpga.family])
    metrics: dict[str, Metric] = {
        "luts": exact(luts, Mode.SIMULATED, source),
        "fmax_mhz": _or_reason(clock, source, "place-and-route found no path between registers"),
        "cycles": _or_reason(cycles, "the simulated design", "the simulation gave no result"),
        "initiation_interval": _or_reason(interval, "the simulated design", "one inference was simulated"),
        "artifact_bytes": exact((folder / plan.library).stat().st_size, Mode.MEASURED, f"size of {plan.library}"),
        "peak_memory_bytes": Unavailable(unavailable="intermediate values are in registers and block memories"),
    }
    notes = [
        f"architecture: {description.architecture}; the widest value has {description.bits} bits",
        "cells after routing: " + ", ".join(f"{count} {name}" for name, count in sorted(placed.used.items()) if count),
    ]
    if clock and cycles:
        metrics["latency_ms"] = exact(cycles / clock / 1e3, Mode.SIMULATED, f"{cycles} cycles at {clock:.1f} MHz")
    else:
        metrics["latency_ms"] = Unavailable(unavailable="the clock or the cycles are not known")
    if description.architecture == "folded":
        metrics["energy_mj"] = Unavailable(
            unavailable="the energy of block memories, which hold the weights, is not modelled"
        )
    elif clock and cycles:
        metrics["energy_mj"] = _energy(fpga, clock, float(interval or cycles), folder, activity, count)
    else:
        metrics["energy_mj"] = metrics["latency_ms"]
    return metrics, tuple(notes)


def _energy(fpga: Fpga, clock_mhz: float, interval: float, folder: Path, activity: Activity, count: int) -> Metric:
    """Changes of nets times energies, and the device's rest power over the time of an inference."""
    energies: FpgaEnergies = fpga_energies(fpga.cells)
    registers = sum(number for name, number in _mapped(folder).items() if re.search(r"DFF|TRELLIS_FF", name))
    switching = float(activity.toggles.sum()) / count * energies.lut_toggle_fj
    clocking = registers * interval * energies.flip_flop_clock_fj
    dynamic = (switching + clocking) / _FJ_PER_MJ
    at_rest = fpga.static_w.value * interval / clock_mhz / 1e3
    return Value(
        value=dynamic + at_rest,
        low=dynamic / energies.band + at_rest,
        high=dynamic * energies.band + at_rest,
        mode=Mode.PREDICTED,
        source=f"simulated changes of {len(activity.toggles)} nets times hw/cells/{fpga.cells}.toml,"
        f" and {fpga.static_w.value:g} W at rest",
    )


def _placed(folder: Path) -> _Placed:
    content = json.loads((folder / PLACED).read_text(encoding="utf-8"))
    used = {name: int(row["used"]) for name, row in content["utilization"].items()}
    clocks = [float(row["achieved"]) for row in content.get("fmax", {}).values()]
    return _Placed(used, min(clocks) if clocks else None)


def _mapped(folder: Path) -> dict[str, int]:
    text = (folder / MAPPED).read_text(encoding="utf-8")
    return dict(json.loads(text[text.index("{") :])["design"]["num_cells_by_type"])


def _or_reason(value: float | None, source: str, reason: str) -> Metric:
    return Unavailable(unavailable=reason) if value is None else exact(value, Mode.SIMULATED, source)


def _asic(target: Target) -> Asic:
    if target.asic is None:
        raise TypeError(f"target {target.name} has neither [fpga] nor [asic]")
    return target.asic
