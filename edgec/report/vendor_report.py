"""A vendor's report in the place of estimates: the `csynth.xml` of Vitis HLS or Vivado HLS, or a folder of another.

The format of the former is as UG1399 (Vitis High-Level Synthesis User Guide, "Synthesis Summary") describes it:
`PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod` in nanoseconds,
`SummaryOfOverallLatency/{Worst-caseLatency, Interval-max, …}` in cycles, and `AreaEstimates/Resources/{LUT, FF, DSP,
BRAM_18K, URAM}`.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from edgec.core.metric import Metric, Mode, Unavailable, Value, exact
from edgec.core.output_file import whole_file
from edgec.core.small_file import read_small_file
from edgec.report.catapult_report import CYCLES, read_catapult_report
from edgec.report.files import write_json
from edgec.report.html import write_html
from edgec.report.oneapi_report import read_oneapi_report
from edgec.report.quartus_report import TABLES, read_quartus_report
from edgec.report.schema import Report
from edgec.report.vendor_numbers import VendorReport, unreadable

_BLOCK_KBIT = 18
_ULTRA_KBIT = 288


def read_vendor_report(path: Path) -> VendorReport:
    """Read a `csynth.xml`, or a folder: oneAPI's NAME.report.prj, Quartus' NAME-fpga.prj, Catapult's NAME_prj/NAME.v1.

    Raises:
        EdgecError: EC1303 where the file is missing, no such report, or lacks a number.
    """
    found = _read_folder(path) if path.is_dir() else _read_csynth(path)
    if found.clock_ns is not None and not 0 < found.clock_ns < math.inf:
        raise unreadable(path, f"its clock period is {found.clock_ns:g} ns")
    return found


def _read_folder(path: Path) -> VendorReport:
    if (path / CYCLES).exists():
        return read_catapult_report(path)
    return read_quartus_report(path) if (path / TABLES).exists() else read_oneapi_report(path)


def _read_csynth(path: Path) -> VendorReport:
    try:
        content = read_small_file(path)
        if b"<!ENTITY" in content or b"<!DOCTYPE" in content:
            raise unreadable(path, "it declares entities, which such reports do not")
        root = ElementTree.fromstring(content)  # noqa: S314 - no entities, see above
    except OSError as problem:
        raise unreadable(path, problem.strerror or str(problem)) from problem
    except ElementTree.ParseError as problem:
        raise unreadable(path, f"it is no XML: {problem}") from problem
    latency, area = "PerformanceEstimates/SummaryOfOverallLatency", "AreaEstimates/Resources"
    dsp = next((name for name in ("DSP", "DSP48E") if root.find(f"{area}/{name}") is not None), "DSP")
    blocks = _number(root, f"{area}/BRAM_18K", path)
    ultra = 0 if root.find(f"{area}/URAM") is None else _number(root, f"{area}/URAM", path)
    return VendorReport(
        version=root.findtext("ReportVersion/Version") or "of unknown version",
        clock_ns=_clock_ns(root, path),
        best_cycles=_cycles(root.findtext(f"{latency}/Best-caseLatency")),
        worst_cycles=_cycles(root.findtext(f"{latency}/Worst-caseLatency")),
        interval=_cycles(root.findtext(f"{latency}/Interval-max")),
        luts=_number(root, f"{area}/LUT", path),
        flip_flops=_number(root, f"{area}/FF", path),
        dsps=_number(root, f"{area}/{dsp}", path),
        block_ram_kbit=blocks * _BLOCK_KBIT + ultra * _ULTRA_KBIT,
    )


def import_vendor_report(artifact: Path, report: Report, path: Path) -> Report:
    """Take over a vendor's report, and write the artefact's `report.json` and `report.html` again.

    Args:
        artifact: the folder of the artefact, or its report.json.
        report: its report.
        path: what `read_vendor_report` reads.

    Raises:
        EdgecError: EC1303 where that cannot be read, or the artefact is not one of high-level synthesis; EC0106 where
            the report cannot be written.
    """
    if report.target.backend != "hls4ml":
        raise unreadable(artifact, f"the artefact is one of the backend {report.target.backend}, not of hls4ml")
    made = with_vendor_report(report, read_vendor_report(path))
    folder = artifact if artifact.is_dir() else artifact.parent
    for name, content in (("report.json", write_json(made)), ("report.html", write_html(made))):
        with whole_file(folder / name) as file:
            file.write(content)
    return made


def with_vendor_report(report: Report, found: VendorReport) -> Report:
    """The report with the vendor's numbers; its own estimates of the same things are replaced."""
    source = f"the vendor's synthesis {found.version}, before place and route"
    metrics: dict[str, Metric] = {
        "luts": _metric(found, found.luts, source),
        "flip_flops": _metric(found, found.flip_flops, source),
        "dsps": _metric(found, found.dsps, source),
        "block_ram_kbit": _metric(found, found.block_ram_kbit, source),
        "fmax_mhz": _metric(found, None if found.clock_ns is None else 1e3 / found.clock_ns, source),
        "initiation_interval": _metric(found, found.interval, source),
        "cycles": _metric(found, found.worst_cycles, source),
    }
    if found.worst_cycles is not None and found.clock_ns is not None:
        to_ms = found.clock_ns / 1e6
        latency = Value(
            value=found.worst_cycles * to_ms,
            low=(found.best_cycles or found.worst_cycles) * to_ms,
            high=found.worst_cycles * to_ms,
            mode=Mode.SIMULATED,
            source=f"{found.worst_cycles} cycles of {found.clock_ns:g} ns; {source}",
        )
        metrics |= {"latency_ms": latency, "energy_mj": _energy(report, latency)}
    return report.model_copy(update={"metrics": report.metrics.model_copy(update=metrics)})


def _energy(report: Report, latency: Value) -> Metric:
    """The board's power, as the build had it, times the new latency."""
    energy, before = report.metrics.energy_mj, report.metrics.latency_ms
    if isinstance(energy, Unavailable) or isinstance(before, Unavailable):
        return energy
    watts = energy.value / before.value
    return Value(
        value=latency.value * watts,
        low=latency.low * watts,
        high=latency.high * watts,
        mode=Mode.PREDICTED,
        source=f"{watts:.3g} W of the whole board; {latency.source}",
    )


def _metric(found: VendorReport, number: float | None, source: str) -> Metric:
    if number is None:
        return Unavailable(unavailable=f"the vendor's synthesis could not tell: {found.unknown}")
    return exact(number, Mode.SIMULATED, source)


def _cycles(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None


def _clock_ns(root: ElementTree.Element, path: Path) -> float:
    text = root.findtext("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
    try:
        return float(str(text))
    except ValueError as problem:
        raise unreadable(path, "it has no EstimatedClockPeriod") from problem


def _number(root: ElementTree.Element, place: str, path: Path) -> int:
    text = root.findtext(place)
    if text is None or not text.strip().isdigit():
        raise unreadable(path, f"it has no {place}")
    return int(text)
