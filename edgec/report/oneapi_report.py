"""The report of Intel's oneAPI for FPGAs: a folder NAME.report.prj.

Its tables lie in reports/resources/json, a JSON object on each line: `summary.ndjson` has a line `Total` with ALUTs,
registers, memory blocks, DSP blocks and memory LABs; `loop_attr.ndjson` has for each loop the clock in MHz (`af`), the
initiation interval (`ii`) and the latency in cycles (`lt`). The format is as hls4ml's own reader has it; no report of
the tool itself was at hand.
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgec.core.small_file import read_small_file
from edgec.report.vendor_numbers import VendorReport, unreadable

_TABLES = Path("reports") / "resources" / "json"
_BLOCK_KBIT = 20.0
"""An M20K."""
_LAB_KBIT = 0.64
"""A memory LAB is 640 bits."""
_COLUMNS = ("ALUTs", "registers", "memory blocks", "DSP blocks", "memory LABs")


class _Line(BaseModel):
    """A line of either table; what it lacks is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    data: tuple[float | str, ...] = ()
    af: float | str | None = None
    ii: float | str | None = None
    lt: float | str | None = None


def read_oneapi_report(folder: Path) -> VendorReport:
    """Read a folder NAME.report.prj or NAME.fpga.prj.

    The latency is that of the slowest loop, as hls4ml takes it: a network in parallel is one.

    Raises:
        EdgecError: EC1303 where a table is missing or lacks a number.
    """
    summary, loops = folder / _TABLES / "summary.ndjson", folder / _TABLES / "loop_attr.ndjson"
    totals = [line for line in _lines(summary) if line.name == "Total"]
    if len(totals) != 1 or len(totals[0].data) < len(_COLUMNS):
        raise unreadable(summary, f"it has no line Total with {', '.join(_COLUMNS)}")
    luts, registers, blocks, dsps, labs = (_number(value, summary) for value in totals[0].data[: len(_COLUMNS)])
    measured = [line for line in _lines(loops) if None not in (line.af, line.ii, line.lt)]
    if not measured:
        raise unreadable(loops, "it has no loop with af, ii and lt")
    clocks = [_number(line.af, loops) for line in measured]
    # A loop that never repeats has no interval: the tool writes n/a.
    intervals = [float(str(line.ii)) for line in measured if _is_number(line.ii)]
    cycles = math.ceil(max(_number(line.lt, loops) for line in measured))
    return VendorReport(
        version="of oneAPI",
        clock_ns=1e3 / min(clocks) if min(clocks) > 0 else 0.0,
        best_cycles=cycles,
        worst_cycles=cycles,
        interval=math.ceil(max(intervals)) if intervals else None,
        luts=math.ceil(luts),
        flip_flops=math.ceil(registers),
        dsps=math.ceil(dsps),
        block_ram_kbit=math.ceil(blocks * _BLOCK_KBIT + labs * _LAB_KBIT),
    )


def _lines(path: Path) -> list[_Line]:
    try:
        rows = read_small_file(path).splitlines()
        return [_Line.model_validate_json(row) for row in rows if row.strip()]
    except OSError as problem:
        raise unreadable(path, problem.strerror or str(problem)) from problem
    except ValidationError as problem:
        raise unreadable(path, f"a line of it is no such table: {problem.errors()[0]['msg']}") from problem


def _is_number(value: float | str | None) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _number(value: float | str | None, path: Path) -> float:
    if not _is_number(value) or float(str(value)) < 0:
        raise unreadable(path, f"{value} is no number")
    return float(str(value))
