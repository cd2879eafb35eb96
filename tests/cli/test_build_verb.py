"""`edgec build` and what users do with its result, on a small network compiled for this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from in_process import Invoke

from edgec.cli.main import main
from edgec.core.manifest import check_integrity


@pytest.fixture(scope="module")
def built(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "out"
    assert main(["build", str(small_model), "--target", "host", "--out", str(folder), "--quiet", "--json"]) == 0
    return folder


def _start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgec", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_staging(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(path.is_dir() for path in folder.glob(".out.edgec-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_artefact_is_whole_and_has_its_report(invoke: Invoke, built: Path) -> None:
    manifest = check_integrity(built)
    assert {"report.json", "report.html", "manifest.json", "model.onnx"} <= {path.name for path in built.iterdir()}
    assert manifest.provenance.target_name == "host"
    assert [path.name for path in built.parent.iterdir()] == ["out"]
    outcome = invoke("report", built, "--json")
    assert outcome.out.encode() == (built / "report.json").read_bytes()


def test_stdout_of_a_json_build_is_the_report(invoke: Invoke, small_model: Path, tmp_path: Path) -> None:
    outcome = invoke("build", small_model, "-t", "host", "-o", tmp_path / "out", "--json")
    assert outcome.status == 0
    assert outcome.out.encode() == (tmp_path / "out" / "report.json").read_bytes()
    assert "edgec: " in outcome.err
    assert "\x1b" not in outcome.err


def test_a_quiet_build_prints_nothing(invoke: Invoke, small_model: Path, tmp_path: Path) -> None:
    outcome = invoke("build", small_model, "-t", "host", "-o", tmp_path / "out", "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / "out" / "report.json").is_file()


@pytest.mark.parametrize("rendering", ["terminal", "markdown", "html", "json"])
def test_every_rendering(invoke: Invoke, built: Path, rendering: str) -> None:
    outcome = invoke("report", built, "--format", rendering)
    assert outcome.status == 0
    assert "model" in outcome.out
    assert "\x1b" not in outcome.out


def test_equal_reports_do_not_differ(invoke: Invoke, built: Path) -> None:
    assert invoke("diff", built, built / "report.json").out.strip().endswith("The reports say the same.")
    assert json.loads(invoke("diff", built, built, "--json").out)["metrics"] == []
    assert invoke("diff", built, built, "--format", "markdown").status == 0


def test_the_artefact_verifies_and_runs(invoke: Invoke, built: Path, tmp_path: Path) -> None:
    assert json.loads(invoke("verify", built, "--samples", "2", "--json").out)["passed"] is True
    interface = check_integrity(built).interface
    rng = np.random.default_rng(0)
    arrays = {spec.name: rng.standard_normal(spec.shape).astype(spec.dtype) for spec in interface.inputs}
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    assert invoke("run", built, "-i", tmp_path / "x.npz", "-o", tmp_path / "y.npz").status == 0
    with np.load(tmp_path / "y.npz") as outputs:
        assert {name: outputs[name].shape for name in outputs} == {s.name: s.shape for s in interface.outputs}


def test_an_altered_artefact_does_not_verify(invoke: Invoke, built: Path) -> None:
    victim = next(path for path in sorted(built.rglob("*.h")) if path.is_file())
    whole = victim.read_bytes()
    try:
        victim.write_bytes(whole + b" ")
        outcome = invoke("verify", built)
    finally:
        victim.write_bytes(whole)
    assert outcome.status == 2
    assert victim.name in outcome.err


@pytest.mark.parametrize(("kill", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_leaves_nothing(
    small_model: Path, tmp_path: Path, kill: signal.Signals, status: int
) -> None:
    process = _start("build", small_model, "-t", "host", "-o", tmp_path / "out")
    _wait_for_staging(tmp_path)
    process.send_signal(kill)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_two_builds_into_one_folder(small_model: Path, tmp_path: Path, invoke: Invoke) -> None:
    process = _start("build", small_model, "-t", "host", "-o", tmp_path / "out")
    _wait_for_staging(tmp_path)
    second = invoke("build", small_model, "-t", "host", "-o", tmp_path / "out")
    assert second.status == 2
    assert "EC0602" in second.err
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    check_integrity(tmp_path / "out")


def test_a_large_model_is_analysed_without_reading_its_weights(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    count, width = 30, 2048
    weights = [
        TensorProto(
            name=f"w{index}", data_type=TensorProto.FLOAT, dims=[width, width], data_location=TensorProto.EXTERNAL
        )
        for index in range(count)
    ]
    for index, weight in enumerate(weights):
        for key, value in (("location", "w.bin"), ("offset", index * width * width * 4), ("length", width * width * 4)):
            weight.external_data.add(key=key, value=str(value))
    names = ["x", *(f"h{index}" for index in range(count))]
    nodes = [
        helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]], name=f"m{index}")
        for index in range(count)
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name in (names[0], names[-1]))
    model = helper.make_model(
        helper.make_graph(nodes, "large", [x], [y], weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    (tmp_path / "large.onnx").write_bytes(model.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(count * width * width * 4)
    program = (
        "import sys\nfrom edgec.cli.main import main\n"
        "status = main(['analyze', '-q', '--json', sys.argv[1]])\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "peak = next(line.split()[1] for line in lines if line.startswith('VmHWM'))\n"
        "print(peak, file=sys.stderr)\nsys.exit(status)"
    )
    before = os.times()
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "large.onnx")], capture_output=True, text=True, check=True
    )
    after = os.times()
    analysis = json.loads(ended.stdout)
    assert analysis["weight_bytes"] == count * width * width * 4
    assert analysis["macs"] == count * width * width
    assert int(ended.stderr) < 300_000
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3
