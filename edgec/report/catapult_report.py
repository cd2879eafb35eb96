"""The report of Catapult: the folder of a solution, NAME_prj/NAME.v1.

`cycle.rpt` has a line `Design Total:` with operations, latency and throughput in cycles, and the clock's period under
`Clock Information`. Where Vivado was run on the result, `vivado_concat_v` has its tables: used look-up tables,
registers and blocks in `utilization_synth.rpt`, the worst slack in `timing_summary_synth.rpt`. The formats are those of
hls4ml's own reader and of reports that others have published; no report of the tool itself was at hand.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgec.core.small_file import read_small_file
from edgec.report.vendor_numbers import VendorReport, unreadable

CYCLES = "cycle.rpt"
_VIVADO = Path("vivado_concat_v")
_TILE_KBIT, _ULTRA_KBIT = 36.0, 288.0
_TOTAL = re.compile(r"^\s*Design Total:\s+\d+\s+(-?\d+)\s+(-?\d+)\s", re.MULTILINE)
_CLOCK = re.compile(r"^\s*Clock Information.*?^\s*\S+\s+(?:rising|falling)\s+([\d.]+)", re.MULTILINE | re.DOTALL)
_SLACK = re.compile(r"^\s*WNS\(ns\).*\n.*\n\s*(-?[\d.]+)", re.MULTILINE)
_ROW = re.compile(r"^\|\s*([^|]+?)\*?\s*\|\s*([\d.]+)\s*\|", re.MULTILINE)


def read_catapult_report(folder: Path) -> VendorReport:
    """Read the folder of a solution.

    The clock is the one that was asked for, less the slack that Vivado found where it was run.

    Raises:
        EdgecError: EC1303 where a report is missing or lacks a number.
    """
    cycles = _text(folder / CYCLES)
    total, clock = _TOTAL.search(cycles), _CLOCK.search(cycles)
    if total is None:
        raise unreadable(folder / CYCLES, "it has no line Design Total with latency and throughput")
    if clock is None:
        raise unreadable(folder / CYCLES, "it has no Clock Information with a period")
    # A latency that depends on the data is -1.
    latency, interval = (int(number) if int(number) >= 0 else None for number in total.groups())
    used = _utilisation(folder / _VIVADO / "utilization_synth.rpt")
    memory = None
    if used is not None:
        memory = round(used.get("Block RAM Tile", 0.0) * _TILE_KBIT + used.get("URAM", 0.0) * _ULTRA_KBIT)
    return VendorReport(
        version="of Catapult",
        clock_ns=float(clock[1]) - _slack_ns(folder / _VIVADO / "timing_summary_synth.rpt"),
        best_cycles=latency,
        worst_cycles=latency,
        interval=interval,
        luts=_used(used, "CLB LUTs", "Slice LUTs"),
        flip_flops=_used(used, "CLB Registers", "Slice Registers"),
        dsps=_used(used, "DSPs"),
        block_ram_kbit=memory,
        unknown="the latency depends on the data, or Vivado was not run on what Catapult wrote",
    )


def _utilisation(path: Path) -> dict[str, float] | None:
    """Used resources by name; None where Vivado was not run."""
    if not path.exists():
        return None
    rows = {name: float(used) for name, used in reversed(_ROW.findall(_text(path)))}
    if not any(name.endswith("LUTs") for name in rows):
        raise unreadable(path, "it has no row of LUTs")
    return rows


def _used(rows: dict[str, float] | None, *names: str) -> int | None:
    if rows is None:
        return None
    return round(next((rows[name] for name in names if name in rows), 0.0))


def _slack_ns(path: Path) -> float:
    if not path.exists():
        return 0.0
    found = _SLACK.search(_text(path))
    if found is None:
        raise unreadable(path, "it has no WNS(ns)")
    return float(found[1])


def _text(path: Path) -> str:
    try:
        return read_small_file(path).decode("utf-8", errors="replace")
    except OSError as problem:
        raise unreadable(path, problem.strerror or str(problem)) from problem
