"""Area, critical path, power and energy of standard cells, from a mapped netlist and its simulated activity.

There is no layout behind these numbers: a wire is a capacitance per pin, a delay that of a mean load. Activity is that
of a simulation in which every cell takes the time of its table, so glitches are in it.
"""

from __future__ import annotations

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
_FJ_PER_MJ = 1e12


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
    library, _ = load_cells(asic.cells)
    netlist = read_netlist(folder / NETLIST, library.functions)
    cells = netlist.cells()
    area_mm2 = sum(library.costs[cell].area_um2 * number for cell, number in cells.items()) / 1e6
    critical_ps = _critical_path_ps(netlist, library)
    dynamic_fj = switching_energy_fj(netlist, library, asic, activity.toggles, count)
    leakage_w = sum(library.costs[cell].leakage_nw * number for cell, number in cells.items()) / 1e9
    seconds = 1 / (asic.clock_mhz.value * 1e6)
    energy_mj = dynamic_fj / _FJ_PER_MJ + leakage_w * seconds * 1e3
    source = f"simulated changes of {netlist.nets} nets times the cells of {asic.cells}, no layout"
    cycles = description.latency_cycles or 0
    metrics: dict[str, Metric] = {
        "cycles": exact(cycles, Mode.SIMULATED, "the simulated design"),
        "initiation_interval": exact(1, Mode.SIMULATED, "the simulated design"),
        "fmax_mhz": _banded(1e6 / critical_ps, f"critical path of {critical_ps / 1e3:.2f} ns in the table's delays"),
        "latency_ms": _banded(cycles * seconds * 1e3, f"{cycles} cycles at {asic.clock_mhz.value:g} MHz"),
        "energy_mj": _banded(energy_mj, source),
        "luts": Unavailable(unavailable="standard cells have no look-up tables"),
        "artifact_bytes": exact((folder / NETLIST).stat().st_size, Mode.MEASURED, f"size of {NETLIST}"),
        "peak_memory_bytes": Unavailable(unavailable="intermediate values are in registers"),
    }
    core_mm2 = area_mm2 / asic.placement_density.value
    power_mw = energy_mj / seconds
    clock_nj = clock_energy_fj(netlist, library, asic) / 1e6
    notes = (
        f"area: {area_mm2:.4g} mm2 of cells, {core_mm2:.4g} mm2 at a density of {asic.placement_density.value:g};"
        f" {sum(cells.values())} cells, {len(netlist.flip_flops)} of them registers",
        f"area of cells: {_areas(netlist, library)}",
        f"power at {asic.clock_mhz.value:g} MHz: {power_mw:.4g} mW, of which {leakage_w * 1e3:.3g} mW leak",
        f"energy of an inference: {energy_mj * 1e6:.4g} nJ, of which {clock_nj:.3g} nJ are the clock's;"
        f" critical path {critical_ps / 1e3:.2f} ns",
        f"weights: {asic.weights}; registers: {'three copies and a vote' if asic.triple_registers else 'single'};"
        " no layout was made",
    )
    return metrics, notes


_PARTS = {
    "edgec_copy": "registers",
    "edgec_register": "votes",
    "edgec_weight": "writing of weights",
    "edgec_i2c": "I2C",
}


def _areas(netlist: Netlist, library: CellLibrary) -> str:
    """Area by part, in mm2; what is not registers of their own module is the network's."""
    found: dict[str, float] = {}
    for module, cells in netlist.contents.items():
        area = sum(library.costs[cell].area_um2 * number for cell, number in cells.items())
        part = _PARTS.get(module, "sums and the rest")
        found[part] = found.get(part, 0.0) + area / 1e6
    return ", ".join(f"{part} {area:.3g} mm2" for part, area in sorted(found.items(), key=lambda row: -row[1]) if area)


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
