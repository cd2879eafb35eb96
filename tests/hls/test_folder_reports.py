"""Reports of Quartus and Catapult, which are folders; they are written by hand in the formats that hls4ml reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgec.core.errors import EdgecError
from edgec.report.vendor_report import read_vendor_report

CYCLES = """
  Processes/Blocks in Design
    Process                          Real Operation(s) count Latency Throughput Reset Length II Comments
    -------------------------------- ----------------------- ------- ---------- ------------ -- --------
    /net/nnet::dense<input_t>/core                        24       1          3            0  0
    Design Total:                                       1970      25          3            1  0

  Clock Information
    Clock Signal Edge   Period Sharing Alloc (%) Uncertainty Used by Processes/Blocks
    ------------ ------ ------ ----------------- ----------- ------------------------
    clk          rising  5.000              0.00    0.000000 /net/nnet::dense<input_t>/core
"""

USED = """
* Warning! LUT value is adjusted to account for LUT combining.
+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs*                  | 4567 |     0 |          0 |    230400 |  1.98 |
|   LUT as Logic             | 4500 |     0 |          0 |    230400 |  1.95 |
| CLB Registers              | 2100 |     0 |          0 |    460800 |  0.46 |
| Block RAM Tile             |  1.5 |     0 |          0 |       312 |  0.48 |
|   RAMB18                   |    1 |     0 |          0 |       624 |  0.16 |
| URAM                       |    1 |     0 |          0 |        96 |  1.04 |
| DSPs                       |    3 |     0 |          0 |      1728 |  0.17 |
+----------------------------+------+-------+------------+-----------+-------+
"""

TIMING = """
    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)
    -------      -------  ---------------------  -------------------      -------
      1.250        0.000                      0                 8642        0.05
"""

AREA = {"columns": ["", "ALUTs", "FFs", "RAMs", "DSPs", "MLABs"], "total": [4567, 2100.5, 3, 2, 10]}


def write_catapult(folder: Path, *, with_vivado: bool = True) -> Path:
    (folder / "vivado_concat_v").mkdir(parents=True)
    (folder / "cycle.rpt").write_text(CYCLES)
    if with_vivado:
        (folder / "vivado_concat_v" / "utilization_synth.rpt").write_text(USED)
        (folder / "vivado_concat_v" / "timing_summary_synth.rpt").write_text(TIMING)
    return folder


def write_quartus(folder: Path, *, clock: str = "320.0", simulated: object = None) -> Path:
    tables = folder / "reports" / "lib"
    tables.mkdir(parents=True)
    compiled = {"quartusFitClockSummary": {"nodes": [{"name": "net", "clock": clock}]}}
    variables = {"areaJSON": AREA, "quartusJSON": compiled}
    text = "".join(f"var {name}={json.dumps(value)};\n" for name, value in variables.items())
    (tables / "report_data.js").write_text(text + 'var fileJSON=[{"content":"a"+"b"}];\n')
    (tables / "verification_data.js").write_text(f"var verifJSON={json.dumps(simulated or {})};\n")
    return folder


def test_a_solution_of_catapult_is_read(tmp_path: Path) -> None:
    found = read_vendor_report(write_catapult(tmp_path / "net.v1"))
    assert (found.luts, found.flip_flops, found.dsps) == (4567, 2100, 3)
    assert found.block_ram_kbit == 1.5 * 36 + 288
    assert (found.best_cycles, found.worst_cycles, found.interval) == (25, 25, 3)
    assert found.clock_ns == pytest.approx(5.0 - 1.25)


def test_a_solution_without_vivado_has_cycles_and_the_clock_that_was_asked_for(tmp_path: Path) -> None:
    found = read_vendor_report(write_catapult(tmp_path / "net.v1", with_vivado=False))
    assert (found.worst_cycles, found.interval, found.clock_ns) == (25, 3, 5.0)
    assert found.luts is found.flip_flops is found.dsps is found.block_ram_kbit is None
    assert "Vivado" in found.unknown


def test_a_latency_that_depends_on_the_data_is_not_known(tmp_path: Path) -> None:
    folder = write_catapult(tmp_path / "net.v1")
    (folder / "cycle.rpt").write_text(CYCLES.replace("1970      25 ", "1970      -1 "))
    assert read_vendor_report(folder).worst_cycles is None


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("cycle.rpt", "", "Design Total"),
        ("cycle.rpt", CYCLES.partition("Clock Information")[0], "Clock Information"),
        ("vivado_concat_v/utilization_synth.rpt", "", "LUTs"),
        ("vivado_concat_v/timing_summary_synth.rpt", "", "WNS"),
    ],
)
def test_a_broken_solution_of_catapult_is_refused(file: str, content: str, reason: str, tmp_path: Path) -> None:
    folder = write_catapult(tmp_path / "net.v1")
    (folder / file).write_text(content)
    with pytest.raises(EdgecError) as caught:
        read_vendor_report(folder)
    assert caught.value.code.code == "EC1303"
    assert reason in caught.value.what


def test_a_folder_of_quartus_is_read(tmp_path: Path) -> None:
    simulated = {"functions": [{"name": "net", "data": [100, "24,26,25.0", "1,2,1.5"]}]}
    found = read_vendor_report(write_quartus(tmp_path / "net-fpga.prj", simulated=simulated))
    assert (found.luts, found.flip_flops, found.dsps) == (4567, 2101, 2)
    assert found.block_ram_kbit == 3 * 20 + 7
    assert (found.best_cycles, found.worst_cycles, found.interval) == (24, 26, 2)
    assert found.clock_ns == pytest.approx(1e3 / 320)


def test_before_simulation_and_compilation_quartus_knows_no_cycles_and_no_clock(tmp_path: Path) -> None:
    found = read_vendor_report(write_quartus(tmp_path / "net-fpga.prj", clock="TBD"))
    assert found.clock_ns is found.worst_cycles is found.interval is None
    assert found.luts == 4567
    assert "simulation" in found.unknown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no variable areaJSON"),
        ('var areaJSON={"total":[1,2,3]};', "areaJSON lacks a number"),
        ("var areaJSON={'total':1};", "areaJSON is no JSON"),
        ('var areaJSON={"total":[1,2,3,4,5]};', "no variable quartusJSON"),
    ],
)
def test_a_broken_folder_of_quartus_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    folder = write_quartus(tmp_path / "net-fpga.prj")
    (folder / "reports" / "lib" / "report_data.js").write_text(text)
    with pytest.raises(EdgecError) as caught:
        read_vendor_report(folder)
    assert caught.value.code.code == "EC1303"
    assert reason in caught.value.what
