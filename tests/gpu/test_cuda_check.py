"""The script that checks CUDA artefacts on a device, up to the device: the driver here computes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import conv_net

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cuda_check.py"


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nvidia.cuda_nvrtc", reason="NVRTC is not installed (pip install 'edgec[gpu]')")
    folder = tmp_path_factory.mktemp("built")
    model = folder / "network.onnx"
    model.write_bytes(conv_net().SerializeToString())
    done = _run(model, "--architecture", "sm_53", "--build-only", "--out", folder / "artefacts")
    assert done.returncode == 0, done.stderr
    return folder / "artefacts" / "network"


def test_without_a_driver_the_script_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CUDA_LIBRARY", "/nowhere/libcuda.so.1")
    done = _run("--list")
    assert done.returncode == 1
    assert "no CUDA driver" in done.stderr


def test_an_artefact_is_run_compared_and_timed_and_a_wrong_one_fails(
    stub_cuda: Path, artifact: Path, tmp_path: Path
) -> None:
    done = _run("--artifact", artifact, "--out", tmp_path / "results.json")
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert (results["device"], results["architecture"]) == ("Stub", "sm_53")
    found = results["networks"]["network"]
    assert found["edgec_ms"] > 0
    assert found["max_relative_error"] > 1e-4
    assert str(found["onnxruntime_cuda_ms"]).startswith("unavailable")
    assert "the largest error" in found["failed"]
    assert done.returncode == 1
    assert "graph" in stub_cuda.read_text(encoding="ascii").splitlines()


def test_a_network_that_fails_is_listed_and_the_others_go_on(stub_cuda: Path, artifact: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    done = _run(broken, "--artifact", artifact)
    first, second, _ = done.stdout.splitlines()
    assert "failed" in json.loads(first.removeprefix("broken "))
    assert "edgec_ms" in json.loads(second.removeprefix("network "))
