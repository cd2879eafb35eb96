"""The estimate of an ASIC: the unrolled network mapped to standard cells, and the simulator of that netlist."""

from __future__ import annotations

from edgec.backends.plan import Command
from edgec.backends.rtl import flow
from edgec.backends.rtl.cell_tables import load_cells
from edgec.backends.rtl.hardware_description import FILE_NAME, LIBERTY, MAPPED, NETLIST, HardwareDescription
from edgec.backends.rtl.integer_graph import IntegerGraph, intervals_of
from edgec.backends.rtl.simulator_tables import parallel_layout
from edgec.backends.rtl.unrolled import unroll
from edgec.backends.rtl.verilog_files import testbench
from edgec.core.target import Asic


def estimate_flow(graph: IntegerGraph, symbol: str, asic: Asic) -> flow.Flow:
    """Verilog, the mapped netlist and its simulator; weights are hard-wired into the adders.

    Raises:
        EdgecError: EC1103 for an unreadable library of cells.
    """
    _, liberty = load_cells(asic.cells)
    design = unroll(graph, symbol, round(asic.adders_per_cycle.value))
    description = HardwareDescription(
        architecture="unrolled",
        latency_cycles=design.latency,
        initiation_interval=1,
        clock_mhz=asic.clock_mhz.value,
        bits=max(interval.bits for interval in intervals_of(graph)),
    )
    files = {f"verilog/{file}": text for file, text in design.verilog.items()}
    files |= {f"testbench/{file}": text for file, text in testbench(graph, design, flow.SEED).items()}
    files |= {
        LIBERTY: liberty,
        "simulation/layout.h": parallel_layout(graph, design.inputs, design.outputs, design.latency),
        FILE_NAME: description.model_dump_json(indent=2) + "\n",
        f"{flow.BUILD}/map.ys": "\n".join(_script(symbol, [f"verilog/{file}" for file in design.verilog])) + "\n",
    }
    mapping = Command("yosys", (f"{flow.BUILD}/map.ys",), MAPPED, "map to standard cells")
    commands = (mapping, *flow.simulator_commands(NETLIST, (LIBERTY,)))
    return flow.Flow(files, commands, ("yosys", "tables", "zig"))


def _script(symbol: str, sources: list[str]) -> list[str]:
    return [
        *(f"read_verilog -defer {source}" for source in sources),
        f"hierarchy -check -top {symbol}",
        f"synth -flatten -noshare -noabc -top {symbol}",
        "dfflegalize -cell $_DFF_P_ x",
        f"dfflibmap -liberty {LIBERTY}",
        f"abc -liberty {LIBERTY}",
        "opt_clean -purge",
        f"tee -q -o {MAPPED} stat -json -liberty {LIBERTY}",
        f"write_json {NETLIST}",
    ]
