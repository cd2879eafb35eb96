"""The backend for FPGAs and ASICs: from a quantised model to the plan of Verilog, its simulator and a bitstream."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgec.backends.plan import Backend, BuildPlan, Fallback, MemoryUse, PlannedLayer
from edgec.backends.rtl import asic, flow, folded
from edgec.backends.rtl.hardware_description import FILE_NAME, SIMULATOR, HardwareDescription
from edgec.backends.rtl.integer_graph import Affine, Border, IntegerGraph, intervals_of
from edgec.backends.rtl.recognition import integer_graph, recognise
from edgec.backends.rtl.registers import hardware_source
from edgec.backends.rtl.simulator_tables import parallel_layout
from edgec.backends.rtl.unrolled import unroll
from edgec.backends.rtl.verilog_files import PINS, pins_module, testbench
from edgec.core.interface import Interface
from edgec.core.progress import Progress
from edgec.core.target import Asic, Fpga, Target
from edgec.core.tensor import TensorSpec
from edgec.graph.load import network_name

_LEAST_ADDERS_A_PRODUCT = 2.0
"""An unrolled product takes more adder bits than this on average; networks far beyond a device are not even tried."""


class RtlBackend(Backend):
    """FPGAs by Yosys and nextpnr, and estimates of ASICs."""

    name: ClassVar[str] = "rtl"

    def unsupported(self, model: ir.Model, target: Target) -> tuple[Fallback, ...]:
        """Every node that has no form on integers."""
        return recognise(model).unsupported

    def plan(self, model: ir.Model, target: Target, *, name: str, threads: int, progress: Progress) -> BuildPlan:
        """Turn the model into integers, and these into Verilog.

        Raises:
            EdgecError: EC0401 with every node that has no form on integers, EC1101 for values that are too wide,
                EC1102 where the device is too small.
        """
        progress.start("turn the network into integers")
        graph = integer_graph(model)
        symbol = network_name(name)
        progress.start("write the Verilog")
        if target.fpga is not None:
            made = _for_fpga(graph, symbol, target.fpga)
        else:
            made = asic.estimate_flow(graph, symbol, _asic(target))
        return _build_plan(graph, symbol, made)


def _for_fpga(graph: IntegerGraph, symbol: str, fpga: Fpga) -> flow.Flow:
    """Unrolled where that leaves room to route, else folded."""
    room = fpga.luts.value * fpga.unrolled_share.value
    if sum(operation.macs for operation in graph.operations) * _LEAST_ADDERS_A_PRODUCT <= room:
        made = unrolled_flow(graph, symbol, fpga, room)
        if made is not None:
            return made
    return folded.folded_flow(graph, symbol, fpga)


def unrolled_flow(graph: IntegerGraph, symbol: str, fpga: Fpga, room: float) -> flow.Flow | None:
    """The unrolled network with its simulator and bitstream; None if it is estimated to take more than `room`."""
    design = unroll(graph, symbol, round(fpga.adders_per_cycle.value))
    if design.adders > room:
        return None
    pins = f"{symbol}_pins"
    sources = [f"verilog/{file}" for file in design.verilog]
    description = HardwareDescription(
        architecture="unrolled",
        latency_cycles=design.latency,
        initiation_interval=1,
        clock_mhz=fpga.clock_mhz.value,
        bits=widest(graph),
    )
    files = {f"verilog/{file}": text for file, text in design.verilog.items()}
    files |= {f"testbench/{file}": text for file, text in testbench(graph, design, flow.SEED).items()}
    files[f"verilog/{pins}.v"] = pins_module(design, pins)
    files["simulation/layout.h"] = parallel_layout(graph, design.inputs, design.outputs, design.latency)
    files[FILE_NAME] = description.model_dump_json(indent=2) + "\n"
    simulated = flow.simulation(sources, symbol)
    packed = flow.bitstream(fpga, [*sources, f"verilog/{pins}.v"], pins, PINS)
    return flow.joined(files, simulated, packed)


def widest(graph: IntegerGraph) -> int:
    """Bits of the widest value."""
    return max(interval.bits for interval in intervals_of(graph))


def _asic(target: Target) -> Asic:
    if target.asic is None:
        raise TypeError(f"target {target.name} has neither [fpga] nor [asic]")
    return target.asic


def _build_plan(graph: IntegerGraph, symbol: str, made: flow.Flow) -> BuildPlan:
    files = {path: text.encode() for path, text in made.files.items()} | made.binary
    weights = sum(operation.weights.size for operation in graph.operations if isinstance(operation, Affine))
    return BuildPlan(
        files={**files, f"{flow.BUILD}/simulate.c": _simulator().encode()},
        commands=made.commands,
        tools=tuple(flow.tool(name) for name in dict.fromkeys(made.tools)),
        discard=(flow.BUILD,),
        interface=Interface(
            symbol=symbol,
            inputs=tuple(_spec(border) for border in graph.inputs),
            outputs=tuple(_spec(border) for border in graph.outputs),
            runner=SIMULATOR,
            simulation="rtl-simulation",
            bit_exact=graph.exact,
        ),
        layers=tuple(_layers(graph)),
        fallbacks=(),
        memory=MemoryUse(weights_bytes=weights, activations_bytes=0, scratch_bytes=0),
        library=made.commands[-1].produces,
    )


def _simulator() -> str:
    """The program of the simulator with its parts, all but the tables."""
    program = hardware_source("simulate.c")
    for part in ("events.h", "weight_bus.h"):
        program = program.replace(f'#include "{part}"\n', hardware_source(part))
    return program


def _layers(graph: IntegerGraph) -> list[PlannedLayer]:
    """One layer a product; what follows it up to the next one belongs to it."""
    intervals = intervals_of(graph)
    layers: list[PlannedLayer] = []
    for operation, interval in zip(graph.operations, intervals, strict=True):
        if isinstance(operation, Affine):
            bits = intervals[operation.sources[0]].bits
            layers.append(
                PlannedLayer(
                    name=operation.node,
                    op=operation.op,
                    nodes=(operation.node,),
                    macs=operation.macs,
                    bytes=operation.weights.size,
                    precision=f"int{bits} into int{interval.bits}",
                )
            )
        elif layers:
            last = layers[-1]
            layers[-1] = last.model_copy(update={"nodes": tuple(dict.fromkeys((*last.nodes, operation.node)))})
    return layers


def _spec(border: Border) -> TensorSpec:
    return TensorSpec(name=border.name, dtype=border.dtype, shape=border.shape)
