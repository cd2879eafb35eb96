"""The report of Intel's HLS compiler, which hls4ml calls Quartus: the folder NAME-fpga.prj.

Its tables are variables of JavaScript. `reports/lib/report_data.js` has `areaJSON`, whose `total` is ALUTs, registers,
memory blocks, DSP blocks and memory LABs as the compiler estimates them, and `quartusJSON` with the clock after
compilation by Quartus, before that `TBD`. `reports/lib/verification_data.js` has `verifJSON` once the circuit was
simulated: latency and interval as least, most and mean. The format is as hls4ml's own reader has it; no report of the
tool itself was at hand.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgec.core.small_file import read_small_file
from edgec.report.vendor_numbers import VendorReport, unreadable

TABLES = Path("reports") / "lib" / "report_data.js"
_SIMULATED = Path("reports") / "lib" / "verification_data.js"
_BLOCK_KBIT = 20.0
"""An M20K."""
_LAB_KBIT = 0.64
"""A memory LAB is 640 bits."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Area(_Table):
    total: tuple[float, float, float, float, float]


class _Clock(_Table):
    clock: float | str


class _Clocks(_Table):
    nodes: tuple[_Clock, ...]


class _Compiled(_Table):
    quartusFitClockSummary: _Clocks  # noqa: N815 - the name in the file


class _Function(_Table):
    data: tuple[int | str, ...]


class _Simulated(_Table):
    functions: tuple[_Function, ...] = ()


_Form = TypeVar("_Form", bound=_Table)


def read_quartus_report(folder: Path) -> VendorReport:
    """Read a folder NAME-fpga.prj.

    Raises:
        EdgecError: EC1303 where a table is missing or lacks a number.
    """
    path = folder / TABLES
    area = _variable(path, "areaJSON", _Area)
    compiled = _variable(path, "quartusJSON", _Compiled)
    luts, registers, blocks, dsps, labs = area.total
    best, worst, interval = _cycles(folder / _SIMULATED)
    return VendorReport(
        version="of Intel HLS",
        clock_ns=_clock_ns(compiled),
        best_cycles=best,
        worst_cycles=worst,
        interval=interval,
        luts=math.ceil(luts),
        flip_flops=math.ceil(registers),
        dsps=math.ceil(dsps),
        block_ram_kbit=math.ceil(blocks * _BLOCK_KBIT + labs * _LAB_KBIT),
        unknown="cycles come from the simulation of the circuit and the clock from its compilation by Quartus, and one"
        " of them was not run",
    )


def _clock_ns(compiled: _Compiled) -> float | None:
    """None as long as Quartus itself was not run."""
    nodes = compiled.quartusFitClockSummary.nodes
    try:
        megahertz = float(nodes[0].clock) if nodes else math.nan
    except ValueError:
        return None
    return 1e3 / megahertz if megahertz > 0 else None


def _cycles(path: Path) -> tuple[int | None, int | None, int | None]:
    """Least and most cycles of an inference and most cycles between two; None each without a simulation."""
    if not path.exists():
        return None, None, None
    simulated = _variable(path, "verifJSON", _Simulated)
    if not simulated.functions:
        return None, None, None
    row = simulated.functions[0].data
    try:
        latency, interval = ([float(part) for part in str(row[place]).split(",")] for place in (1, 2))
        return math.ceil(latency[0]), math.ceil(latency[1]), math.ceil(interval[1])
    except (IndexError, ValueError) as problem:
        raise unreadable(path, "its function has no latency and interval as three numbers") from problem


def _variable(path: Path, name: str, form: type[_Form]) -> _Form:
    """A variable of a file of JavaScript whose value is JSON."""
    try:
        text = read_small_file(path).decode("utf-8", errors="replace")
    except OSError as problem:
        raise unreadable(path, problem.strerror or str(problem)) from problem
    begin = re.search(rf"\bvar\s+{name}\s*=\s*", text)
    if begin is None:
        raise unreadable(path, f"it has no variable {name}")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, begin.end())
        return form.model_validate(value)
    except json.JSONDecodeError as problem:
        raise unreadable(path, f"{name} is no JSON: {problem.msg}") from problem
    except ValidationError as problem:
        raise unreadable(path, f"{name} lacks a number: {problem.errors()[0]['msg']}") from problem
