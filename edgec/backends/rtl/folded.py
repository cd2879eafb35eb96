"""The folded architecture: one engine a layer, which works through its sums one product of each channel at a time.

Weights are in block memories, as are the values between the layers. Elements are written in the order in which they
are computed; a reader takes them by a table of addresses, so layouts, paddings and permutations cost no logic.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from edgec.backends.rtl import flow
from edgec.backends.rtl.folded_stages import form_stages
from edgec.backends.rtl.folded_text import FoldedText
from edgec.backends.rtl.hardware_description import FILE_NAME, HardwareDescription
from edgec.backends.rtl.integer_graph import IntegerGraph, intervals_of
from edgec.backends.rtl.simulator_tables import stream_layout
from edgec.core.codes.hardware import DOES_NOT_FIT
from edgec.core.errors import EdgecError
from edgec.core.target import Fpga


def folded_flow(graph: IntegerGraph, symbol: str, fpga: Fpga) -> flow.Flow:
    """The folded network with its simulator and bitstream.

    Raises:
        EdgecError: EC1102 where weights and values exceed the block memory, or the network has more than one input or
            output, or per-channel scales inside.
    """
    verilog, layout, memory_bits = write_folded(graph, symbol)
    room = fpga.block_ram_kbit.value * 1024
    if memory_bits > room:
        raise EdgecError(
            DOES_NOT_FIT,
            f"weights, tables and values take {memory_bits / 1024:.0f} kbit of {fpga.block_ram_kbit.value:g} kbit",
            where=f"device {fpga.device}",
            hint=DOES_NOT_FIT.remedy,
        )
    description = HardwareDescription(
        architecture="folded",
        latency_cycles=None,
        initiation_interval=None,
        clock_mhz=fpga.clock_mhz.value,
        bits=max(interval.bits for interval in intervals_of(graph)),
    )
    files = {f"verilog/{name}": text for name, text in verilog.items()}
    files["simulation/layout.h"] = layout
    files[FILE_NAME] = description.model_dump_json(indent=2) + "\n"
    sources = [path for path in files if path.endswith(".v")]
    return flow.joined(files, flow.simulation(sources, symbol), flow.bitstream(fpga, sources, symbol, _ports(graph)))


def _ports(graph: IntegerGraph) -> dict[str, int]:
    """Bits of the ports of a folded network."""
    intervals = intervals_of(graph)
    controls = ("clk", "reset", "in_valid", "in_ready", "out_valid", "out_ready")
    first, last = (intervals[border.value].bits for border in (graph.inputs[0], graph.outputs[0]))
    return {**dict.fromkeys(controls, 1), "in_data": first, "out_data": last}


def write_folded(graph: IntegerGraph, symbol: str) -> tuple[Mapping[str, str], str, int]:
    """Verilog by file name, the simulator's layout, and the bits of all memories.

    Raises:
        EdgecError: EC1102 as `folded_flow`.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise _refused("the network has more than one input or output", "folded networks")
    stages = form_stages(graph)
    intervals = intervals_of(graph)
    text = FoldedText(graph, stages, intervals, symbol)
    text.write()
    first, last = graph.inputs[0], graph.outputs[0]
    out = intervals[last.value]
    layout = stream_layout(
        graph,
        in_width=intervals[first.value].bits,
        out_width=out.bits,
        out_signed=out.signed,
        order=stages[-1].produced.tolist(),
    )
    engines = (resources.files("edgec.hw") / "rtl" / "engines.v").read_text(encoding="ascii")
    return {f"{symbol}.v": text.verilog(), f"{symbol}_engines.v": engines, **text.tables}, layout, text.memory_bits


def _refused(what: str, where: str) -> EdgecError:
    return EdgecError(DOES_NOT_FIT, what, where=where, hint=DOES_NOT_FIT.remedy)
