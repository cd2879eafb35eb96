"""The commands from Verilog to a simulator and a bitstream, by the open tools from their Python packages."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgec.backends.plan import Command, Tool
from edgec.backends.rtl.hardware_description import MAPPED, PLACED, SIMULATOR
from edgec.backends.rtl.registers import hardware_source
from edgec.core.codes.hardware import DOES_NOT_FIT
from edgec.core.errors import EdgecError
from edgec.core.target import Fpga

SEED = 1
"""Seed of placement: same seed, same bitstream."""

INSTALL = "pip install 'edgec[fpga]'"
BUILD = "build"
ADDERS = "two_operand_adders.v"
_COMPILE = ("-std=c11", "-O1", "-g0", "-fno-sanitize=undefined", "-static", "-s")
_GOWIN_CLOCK_PIN = 52
_GOWIN_PINS = (*range(25, 31), 33, 34, 35, 40, 41, 42, 51, *range(53, 58), *range(68, 78), *range(79, 87))
"""Pins of the package QN88P that are free for any use. Source: Gowin UG803, GW1NR-9 pinout."""
_RUN_TOOL = "edgec.backends.rtl.run_tool"


@dataclass(frozen=True)
class Flow:
    """Part of a build plan: files of text, commands, the tools they need, and files of bytes."""

    files: dict[str, str]
    commands: tuple[Command, ...]
    tools: tuple[str, ...]
    binary: dict[str, bytes] = field(default_factory=dict)


def tool(name: str) -> Tool:
    """An open tool, or the C compiler, as the executor starts it."""
    module = "ziglang" if name == "zig" else _RUN_TOOL
    arguments = (sys.executable, "-m", module, *(() if name == "zig" else (name,)))
    return Tool(name, arguments, INSTALL)


def simulation(sources: Sequence[str], top: str) -> Flow:
    """Commands that make the simulator of a design, as look-up tables of four inputs."""
    script = [
        *(f"read_verilog -defer {source}" for source in sources),
        f"hierarchy -check -top {top}",
        *("proc", "flatten", "opt -full", "memory -nomap", "opt -full", "techmap", "simplemap", "opt"),
        *("dfflegalize -cell $_DFF_P_ 01", "abc -lut 4", "opt_clean", f"write_json {BUILD}/simulated.json"),
    ]
    yosys = Command("yosys", (f"{BUILD}/simulate.ys",), f"{BUILD}/simulated.json", "synthesise for the simulation")
    return Flow(
        {f"{BUILD}/simulate.ys": _lines(script)},
        (yosys, *simulator_commands(f"{BUILD}/simulated.json", ())),
        ("yosys", "tables", "zig"),
    )


def simulator_commands(netlist: str, liberty: tuple[str, ...]) -> tuple[Command, ...]:
    """From a netlist to a program that simulates it; cells of a library need its Liberty file."""
    made = "simulation/simulate.c"
    tables = (netlist, "simulation/layout.h", f"{BUILD}/simulate.c", made, *liberty)
    compile_ = ("cc", *_COMPILE, made, "-lm", "-o", SIMULATOR)
    return (
        Command("tables", tables, made, "write the simulator's tables"),
        Command("zig", compile_, SIMULATOR, "compile the simulator"),
    )


def bitstream(fpga: Fpga, sources: Sequence[str], top: str, ports: Mapping[str, int]) -> Flow:
    """Synthesis, placement, routing and packing.

    Args:
        fpga: the device.
        sources: Verilog files.
        top: the module whose ports are pins.
        ports: bits of each port by name.

    Raises:
        EdgecError: EC1102 where the package has too few pins.
    """
    synthesis = {
        "ecp5": f"synth_ecp5 -abc9 -top {top} -json {BUILD}/mapped.json",
        "ice40": f"synth_ice40 -device hx -abc9 -top {top} -json {BUILD}/mapped.json",
        "gowin": f"synth_gowin -top {top} -json {BUILD}/mapped.json",
    }[fpga.family]
    script = [
        *(f"read_verilog -defer {source}" for source in sources),
        f"hierarchy -check -top {top}",
        *adders_of_two_operands(f"{BUILD}/{ADDERS}"),
        synthesis,
        f"tee -q -o {MAPPED} stat -json",
    ]
    route, pack = {"ecp5": _ecp5, "ice40": _ice40, "gowin": _gowin}[fpga.family](fpga, top)
    yosys = Command("yosys", (f"{BUILD}/synthesise.ys",), MAPPED, "synthesise")
    files = {
        f"{BUILD}/synthesise.ys": _lines(script),
        f"{BUILD}/{ADDERS}": hardware_source(ADDERS),
        **_constraints(fpga, ports),
    }
    return Flow(files, (yosys, route, pack), ("yosys", route.tool, pack.tool))


def adders_of_two_operands(file: str) -> tuple[str, ...]:
    """Commands of Yosys that keep sums as adders of two operands; `file` is a copy of `hw/rtl/two_operand_adders.v`."""
    return ("proc", "flatten", "opt -full", "wreduce", "opt_clean", f"techmap -map {file}")


def _common(fpga: Fpga) -> tuple[str, ...]:
    return (
        *("--json", f"{BUILD}/mapped.json", "--report", PLACED, "--seed", str(SEED)),
        *("--freq", f"{fpga.clock_mhz.value:g}", "--timing-allow-fail", "--quiet"),
    )


def _ecp5(fpga: Fpga, top: str) -> tuple[Command, Command]:
    config, bits = f"{BUILD}/placed.config", f"bitstream/{top}.bit"
    arguments = (f"--{fpga.device}", "--package", fpga.package, "--textcfg", config, "--lpf", "constraints/clock.lpf")
    route = Command(
        "nextpnr-ecp5", (*arguments, "--lpf-allow-unconstrained", *_common(fpga)), config, "place and route"
    )
    return route, Command("ecppack", (config, bits), bits, "pack the bitstream")


def _ice40(fpga: Fpga, top: str) -> tuple[Command, Command]:
    placed, bits = f"{BUILD}/placed.asc", f"bitstream/{top}.bin"
    arguments = (f"--{fpga.device}", "--package", fpga.package, "--asc", placed, "--pcf-allow-unconstrained")
    route = Command("nextpnr-ice40", (*arguments, *_common(fpga)), placed, "place and route")
    return route, Command("icepack", (placed, bits), bits, "pack the bitstream")


def _gowin(fpga: Fpga, top: str) -> tuple[Command, Command]:
    placed, bits, family = f"{BUILD}/placed.json", f"bitstream/{top}.fs", "GW1N-9C"
    arguments = ("--device", fpga.device, "--vopt", f"family={family}", "--vopt", "cst=constraints/pins.cst")
    route = Command("nextpnr-gowin", (*arguments, "--write", placed, *_common(fpga)), placed, "place and route")
    return route, Command("gowin-pack", ("-d", family, "-o", bits, placed), bits, "pack the bitstream")


def _constraints(fpga: Fpga, ports: Mapping[str, int]) -> dict[str, str]:
    clock = f"{fpga.clock_mhz.value:g}"
    return {
        "ecp5": {"constraints/clock.lpf": f'FREQUENCY PORT "clk" {clock} MHZ;\n'},
        "ice40": {"constraints/clock.pcf": f"set_frequency clk {clock}\n"},
        "gowin": {"constraints/pins.cst": _gowin_pins(ports)},
    }[fpga.family]


def _gowin_pins(ports: Mapping[str, int]) -> str:
    """A pin for every bit, which this family's placement does not choose by itself."""
    bits = [name if width == 1 else f"{name}[{bit}]" for name, width in ports.items() for bit in range(width)]
    free = [_GOWIN_CLOCK_PIN, *_GOWIN_PINS]
    if len(bits) > len(free):
        raise EdgecError(
            DOES_NOT_FIT,
            f"{len(bits)} ports need pins, the package has {len(free)}",
            hint=DOES_NOT_FIT.remedy,
        )
    return "".join(f'IO_LOC "{bit}" {pin};\n' for bit, pin in zip(bits, free, strict=False))


def _lines(script: Sequence[str]) -> str:
    return "\n".join(script) + "\n"


def joined(files: dict[str, str], *flows: Flow) -> Flow:
    """Files and flows as one, in order."""
    for each in flows:
        files = {**files, **each.files}
    return Flow(files, tuple(c for f in flows for c in f.commands), tuple(t for f in flows for t in f.tools))
