"""Estimates, and the vendor's report in their place; the report is written by hand after the documented format."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import onnx_ir as ir
import pytest

from benchmarks import hls_networks
from edgec.backends.hls4ml.work import signed_digits
from edgec.cli.main import main
from edgec.core.errors import EdgecError
from edgec.report.vendor_report import read_vendor_report

pytest.importorskip("hls4ml")
CSYNTH = Path(__file__).parent / "csynth.xml"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hls")
    ir.save(hls_networks.mlp((4, 6, 3)), folder / "net.onnx")
    assert main(["build", str(folder / "net.onnx"), "--target", "pynq-z2", "--out", str(folder / "out")]) == 0
    return folder / "out"


def metrics(artifact: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((artifact / "report.json").read_text())["metrics"]
    return found


def test_a_build_is_verified_by_c_simulation_and_estimated(artifact: Path) -> None:
    report = json.loads((artifact / "report.json").read_text())
    assert report["verification"]["where"] == "c-simulation"
    assert report["verification"]["bit_exact"]
    for name in ("luts", "flip_flops", "cycles", "initiation_interval", "latency_ms", "energy_mj"):
        value = metrics(artifact)[name]
        assert value["mode"] == "predicted"
        assert value["low"] < value["value"] < value["high"]  # type: ignore[operator]
    assert "vendor" in str(metrics(artifact)["fmax_mhz"]["unavailable"])


def test_the_vendors_report_takes_the_place_of_estimates(artifact: Path, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(artifact, tmp_path / "copy"))
    watts = metrics(artifact)["energy_mj"]["value"] / metrics(artifact)["latency_ms"]["value"]  # type: ignore[operator]
    assert main(["report", str(artifact), "--import", str(CSYNTH)]) == 0
    after = metrics(artifact)
    values = {name: after[name]["value"] for name in ("luts", "flip_flops", "dsps", "block_ram_kbit")}
    assert values == {"luts": 4567, "flip_flops": 2100, "dsps": 3, "block_ram_kbit": 4 * 18 + 288}
    assert (after["cycles"]["value"], after["initiation_interval"]["value"]) == (10, 2)
    assert after["fmax_mhz"]["value"] == pytest.approx(160)
    assert after["latency_ms"]["value"] == pytest.approx(62.5e-6)
    assert after["latency_ms"]["low"] == pytest.approx(50e-6)
    assert after["energy_mj"]["value"] == pytest.approx(62.5e-6 * watts)
    assert after["luts"]["mode"] == "simulated"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no XML"),
        ("<profile/>", "BRAM_18K"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><profile/>", "entities"),
    ],
)
def test_a_broken_report_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_text(content)
    with pytest.raises(EdgecError) as caught:
        read_vendor_report(tmp_path / "bad.xml")
    assert caught.value.code.code == "EC1303"
    assert reason in caught.value.what


@pytest.mark.parametrize(
    ("element", "content", "reason"),
    [("URAM", "some", "URAM"), ("EstimatedClockPeriod", "0", "clock"), ("EstimatedClockPeriod", "nan", "clock")],
)
def test_a_report_with_a_senseless_number_is_refused(element: str, content: str, reason: str, tmp_path: Path) -> None:
    text = re.sub(rf"<{element}>[^<]*<", f"<{element}>{content}<", CSYNTH.read_text(), count=1)
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(EdgecError) as caught:
        read_vendor_report(tmp_path / "bad.xml")
    assert caught.value.code.code == "EC1303"
    assert reason in caught.value.what


def test_an_unknown_latency_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "undefined.xml").write_text(CSYNTH.read_text().replace(">10<", ">undef<"))
    assert read_vendor_report(tmp_path / "undefined.xml").worst_cycles is None


ONEAPI = {
    "summary.ndjson": [
        {"name": "Available", "data": [900000, 1800000, 5000, 4000, 20000]},
        {"name": "Total", "data": [4567, 2100.5, 3, 2, 10]},
    ],
    "loop_attr.ndjson": [
        {"name": "network", "af": "400.00", "ii": "1", "lt": "24.000000"},
        {"name": "layer", "af": "320.00", "ii": "2", "lt": "18.000000"},
        {"name": "once", "af": "480.00", "ii": "n/a", "lt": "1.000000"},
        {"name": "no loop"},
    ],
}
"""Written by hand in the format that hls4ml reads."""


def write_oneapi(folder: Path) -> Path:
    tables = folder / "net.report.prj" / "reports" / "resources" / "json"
    tables.mkdir(parents=True)
    for name, rows in ONEAPI.items():
        (tables / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "net.report.prj"


def test_the_folder_of_oneapi_is_read(tmp_path: Path) -> None:
    found = read_vendor_report(write_oneapi(tmp_path))
    assert (found.luts, found.flip_flops, found.dsps) == (4567, 2101, 2)
    assert found.block_ram_kbit == 3 * 20 + 7
    assert (found.worst_cycles, found.interval) == (24, 2)
    assert found.clock_ns == pytest.approx(1e3 / 320)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("summary.ndjson", "", "no line Total"),
        ("summary.ndjson", '{"name": "Total", "data": ["?", 1, 1, 1, 1]}', "no number"),
        ("summary.ndjson", "[", "no such table"),
        ("loop_attr.ndjson", "{}", "no loop"),
        ("loop_attr.ndjson", '{"name": "a", "af": "0", "ii": "1", "lt": "1"}', "clock period"),
    ],
)
def test_a_broken_folder_of_oneapi_is_refused(file: str, content: str, reason: str, tmp_path: Path) -> None:
    folder = write_oneapi(tmp_path)
    (folder / "reports" / "resources" / "json" / file).write_text(content)
    with pytest.raises(EdgecError) as caught:
        read_vendor_report(folder)
    assert caught.value.code.code == "EC1303"
    assert reason in caught.value.what


def test_canonical_signed_digits() -> None:
    import numpy as np

    assert [signed_digits(np.array([float(number)])) for number in (0, 1, 3, 5, 7, -7, 11)] == [0, 1, 2, 2, 2, 2, 3]
