"""Area, critical path, power and energy of standard cells, from a mapped netlist and its simulated activity.

There is no layout behind these numbers: a wire is a capacitance per pin, a delay that of a mean load. Activity is that
of a simulation in which every cell takes the time of its table, so glitches are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgec.backends.rtl.cell_tables import load_cells
from edgec.backends.rtl.hardware_description import NETLIST, HardwareDescription
from edgec.backends.rtl.liberty import CellLibrary
from edgec.backends.rtl.netlist import Netlist, read_netlist
from edgec.core.metric import Metric, Mode, Unavailable, Value, exact
from edgec.core.target import Asic
from edgec.measure.rtl_simulation import Activity

_BAND = 2.0
"""Area and energy of estimates before layout are trusted to a factor of two."""
_NJ_PER_MJ = 1e6


@dataclass(frozen=True)
class SiliconFigures:
    """What a network costs in standard cells.

    Attributes:
        cells: number of cells.
        registers: those of them that hold a bit.
        cells_mm2: area of all cells.
        core_mm2: the same at the target's density of placement.
        parts_mm2: area of the cells by part.
        critical_ps: longest way between two registers.
        clock_nj: energy of the clock in a cycle: the tree, and what it switches within registers.
        dynamic_nj: energy of an inference that is not leakage, the clock's included.
        leakage_mw: power at rest.
        energy_nj: of an inference, all together.
        power_mw: at one inference a clock cycle.
    """

    cells: int
    registers: int
    cells_mm2: float
    core_mm2: float
    parts_mm2: dict[str, float]
    critical_ps: float
    clock_nj: float
    dynamic_nj: float
    leakage_mw: float
    energy_nj: float
    power_mw: float


def silicon_figures(folder: Path, asic: Asic, activity: Activity, count: int) -> SiliconFigures:
    """The costs of the artefact in `folder`, from the activity that the simulation of `count` inferences showed."""
    library, _ = load_cells(asic.cells)
    netlist = read_netlist(folder / NETLIST, library.functions)
    cells = netlist.cells()
    cells_mm2 = sum(library.costs[cell].area_um2 * number for cell, number in cells.items()) / 1e6
    dynamic_nj = switching_energy_fj(netlist, library, asic, activity.toggles, count) / 1e6
    leakage_mw = sum(library.costs[cell].leakage_nw * number for cell, number in cells.items()) / 1e6
    microseconds = 1 / asic.clock_mhz.value
    energy_nj = dynamic_nj + leakage_mw * microseconds
    return SiliconFigures(
        cells=sum(cells.values()),
        registers=len(netlist.flip_flops),
        cells_mm2=cells_mm2,
        core_mm2=cells_mm2 / asic.placement_density.value,
        parts_mm2=_parts_mm2(netlist, library),
        critical_ps=_critical_path_ps(netlist, library),
        clock_nj=clock_energy_fj(netlist, library, asic) / 1e6,
        dynamic_nj=dynamic_nj,
        leakage_mw=leakage_mw,
        energy_nj=energy_nj,
        power_mw=energy_nj / microseconds,
    )


def silicon_costs(
    folder: Path, asic: Asic, description: HardwareDescription, activity: Activity, count: int
) -> tuple[dict[str, Metric], tuple[str, ...]]:
    """Metrics of the report, and notes with area, power and the critical path.

    Args:
        folder: the artefact.
        asic: its target.
        description: its architecture.
        activity: what the simulation of `count` inferences showed.
        count: number of inferences.
    """
    found = silicon_figures(folder, asic, activity, count)
    source = f"simulated changes of {len(activity.toggles)} nets times the cells of {asic.cells}, no layout"
    cycles = description.latency_cycles or 0
    clock = f"{cycles} cycles at {asic.clock_mhz.value:g} MHz"
    metrics: dict[str, Metric] = {
        "cycles": exact(cycles, Mode.SIMULATED, "the simulated design"),
        "initiation_interval": exact(1, Mode.SIMULATED, "the simulated design"),
        "fmax_mhz": _banded(
            1e6 / found.critical_ps, f"critical path of {found.critical_ps / 1e3:.2f} ns in the table's delays"
        ),
        "latency_ms": _banded(cycles / asic.clock_mhz.value / 1e3, clock),
        "energy_mj": _banded(found.energy_nj / _NJ_PER_MJ, source),
        "luts": Unavailable(unavailable="standard cells have no look-up tables"),
        "artifact_bytes": exact((folder / NETLIST).stat().st_size, Mode.MEASURED, f"size of {NETLIST}"),
        "peak_memory_bytes": Unavailable(unavailable="intermediate values are in registers"),
    }
    return metrics, _notes(found, asic)


def _notes(found: SiliconFigures, asic: Asic) -> tuple[str, ...]:
    parts = sorted(found.parts_mm2.items(), key=lambda row: -row[1])
    return (
        f"area: {found.cells_mm2:.4g} mm2 of cells, {found.core_mm2:.4g} mm2 at a density of"
        f" {asic.placement_density.value:g}; {found.cells} cells, {found.registers} of them registers",
        "area of cells: " + ", ".join(f"{part} {area:.3g} mm2" for part, area in parts),
        f"power at {asic.clock_mhz.value:g} MHz: {found.power_mw:.4g} mW, of which {found.leakage_mw:.3g} mW leak",
        f"energy of an inference: {found.energy_nj:.4g} nJ, of which {found.clock_nj:.3g} nJ are the clock's;"
        f" critical path {found.critical_ps / 1e3:.2f} ns",
        f"weights: {asic.weights}; registers: {'three copies and a vote' if asic.triple_registers else 'single'};"
        " no layout was made",
    )


_PARTS = {
    "edgec_copy": "registers",
    "edgec_register": "votes",
    "edgec_weight": "writing of weights",
    "edgec_i2c": "I2C",
}


def _parts_mm2(netlist: Netlist, library: CellLibrary) -> dict[str, float]:
    """Area by part; what is not registers of their own module is the network's."""
    found: dict[str, float] = {}
    for module, cells in netlist.contents.items():
        area = sum(library.costs[cell].area_um2 * number for cell, number in cells.items())
        part = _PARTS.get(module, "sums and the rest")
        found[part] = found.get(part, 0.0) + area / 1e6
    return {part: area for part, area in found.items() if area}


def switching_energy_fj(netlist: Netlist, library: CellLibrary, asic: Asic, toggles: np.ndarray, count: int) -> float:
    """Femtojoules of an inference: loads and cells that switch, and the clock of every register."""
    mean_pin = float(np.mean([cost.pin_capacitance_ff for cost in library.costs.values()]))
    loads = np.array(netlist.fanouts(), np.float64) * (mean_pin + asic.wire_ff_per_pin.value)
    energies = 0.5 * library.volts**2 * loads
    drivers = [(gate.output, gate.cell) for gate in netlist.gates]
    drivers += [(register.output, register.cell) for register in netlist.flip_flops]
    for net, cell in drivers:
        energies[net] += library.costs[cell].internal_fj
    return float(toggles @ energies) / count + clock_energy_fj(netlist, library, asic)


def clock_energy_fj(netlist: Netlist, library: CellLibrary, asic: Asic) -> float:
    """Femtojoules of a cycle of the clock: the tree and every register's pin, and what switches within registers."""
    tree = len(netlist.flip_flops) * asic.clock_ff_per_register.value * library.volts**2
    return tree + sum(library.costs[register.cell].clock_fj for register in netlist.flip_flops)


def _critical_path_ps(netlist: Netlist, library: CellLibrary) -> float:
    """Longest way between two registers, or from an input or to an output."""
    arrival = [0.0] * netlist.nets
    for flip_flop in netlist.flip_flops:
        arrival[flip_flop.output] = library.costs[flip_flop.cell].delay_ps
    for gate in netlist.gates:
        latest = max((arrival[net] for net in gate.inputs), default=0.0)
        arrival[gate.output] = latest + library.costs[gate.cell].delay_ps
    return max(arrival)


def _banded(value: float, source: str) -> Value:
    return Value(value=value, low=value / _BAND, high=value * _BAND, mode=Mode.PREDICTED, source=source)
