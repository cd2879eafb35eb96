"""The estimate of an ASIC: the unrolled network mapped to standard cells, and the simulator of that netlist."""

from __future__ import annotations

from edgec.backends.plan import Command
from edgec.backends.rtl import flow
from edgec.backends.rtl.cell_tables import load_cells
from edgec.backends.rtl.hardware_description import FILE_NAME, LIBERTY, MAPPED, NETLIST, HardwareDescription
from edgec.backends.rtl.integer_graph import IntegerGraph, intervals_of
from edgec.backends.rtl.loaded_products import unroll_with_registers
from edgec.backends.rtl.simulator_tables import LoadedWeights, parallel_layout
from edgec.backends.rtl.unrolled import Design, unroll
from edgec.backends.rtl.verilog_files import testbench
from edgec.backends.rtl.weight_registers import IMAGE, MAP, register_map, weight_image, with_loaded_weights
from edgec.core.target import Asic

_ABC = "+strash;dc2;strash;&get,-n;&nf;&put"
"""Rewriting and mapping. What Yosys does by default besides looks for equal signals by proofs, which in adders takes
fifty times as long and finds little."""


def estimate_flow(graph: IntegerGraph, symbol: str, asic: Asic) -> flow.Flow:
    """Verilog, the mapped netlist and its simulator.

    Weights are hard-wired into the adders, or in registers that are written over I2C; then there are the image of the
    weights and the map of the registers too.

    Raises:
        EdgecError: EC1102 for more weights than registers have addresses; EC1103 for an unreadable library of cells.
    """
    _, liberty = load_cells(asic.cells)
    loaded = asic.weights == "registers"
    if loaded:
        graph = with_loaded_weights(graph)
    design, files = _with_registers(graph, symbol, asic) if loaded else _hard_wired(graph, symbol, asic)
    description = HardwareDescription(
        architecture="unrolled",
        latency_cycles=design.latency,
        initiation_interval=1,
        clock_mhz=asic.clock_mhz.value,
        bits=max(interval.bits for interval in intervals_of(graph)),
    )
    weights = LoadedWeights(asic.i2c_address, weight_image(graph)) if loaded else None
    files |= {f"verilog/{file}": text for file, text in design.verilog.items()}
    script = _script(design, flat=not loaded)
    files |= {
        LIBERTY: liberty,
        "simulation/layout.h": parallel_layout(graph, design.inputs, design.outputs, design.latency, weights),
        FILE_NAME: description.model_dump_json(indent=2) + "\n",
        f"{flow.BUILD}/map.ys": "\n".join(script) + "\n",
    }
    mapping = Command("yosys", (f"{flow.BUILD}/map.ys",), MAPPED, "map to standard cells")
    commands = (mapping, *flow.simulator_commands(NETLIST, (LIBERTY,)))
    binary = {IMAGE: weights.image} if weights is not None else {}
    return flow.Flow(files, commands, ("yosys", "tables", "zig"), binary)


def _hard_wired(graph: IntegerGraph, symbol: str, asic: Asic) -> tuple[Design, dict[str, str]]:
    design = unroll(graph, symbol, round(asic.adders_per_cycle.value), triple=asic.triple_registers, lookup_inputs=None)
    return design, {f"testbench/{file}": text for file, text in testbench(graph, design, flow.SEED).items()}


def _with_registers(graph: IntegerGraph, symbol: str, asic: Asic) -> tuple[Design, dict[str, str]]:
    addresses = register_map(graph, asic.i2c_address)
    delay = round(asic.adders_per_cycle.value)
    design = unroll_with_registers(graph, symbol, delay, asic.i2c_address, triple=asic.triple_registers)
    return design, {MAP: addresses.model_dump_json(indent=2) + "\n"}


def _script(design: Design, *, flat: bool) -> list[str]:
    """Modules that have many instances are synthesised once: products with constants, and, if not `flat`, all."""
    kept = [f"setattr -mod -set keep_hierarchy 1 {name}" for name in design.products] if flat else []
    return [
        *(f"read_verilog -defer verilog/{file}" for file in design.verilog),
        f"hierarchy -check -top {design.name}",
        *kept,
        f"synth {'-flatten ' if flat else ''}-noshare -noabc -top {design.name}",
        "dfflegalize -cell $_DFF_P_ x",
        f"dfflibmap -liberty {LIBERTY}",
        f"abc -liberty {LIBERTY} -script {_ABC}",
        "opt_clean -purge",
        f"tee -q -o {MAPPED} stat -json -liberty {LIBERTY}",
        f"write_json {NETLIST}",
    ]
