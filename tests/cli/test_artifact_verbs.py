"""`verify` and `run` on artefacts whose program is a script: right, wrong, crashing, and not runnable here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from in_process import Invoke


def test_a_right_artefact_verifies(invoke: Invoke, scripted_artifact: Path) -> None:
    outcome = invoke("verify", scripted_artifact, "--samples", "2", "--json")
    assert outcome.status == 0
    verdict = json.loads(outcome.out)
    assert verdict["passed"] is True
    assert verdict["verification"]["samples"] == 2
    assert verdict["verification"]["bit_exact"] is True
    text = invoke("verify", scripted_artifact)
    assert "intact: 2 files" in text.out
    assert "verified: 4 samples on host against onnxruntime" in text.out


def test_a_wrong_artefact_fails_with_status_1(
    invoke: Invoke, tmp_path: Path, make_artifact: Callable[..., Path]
) -> None:
    wrong = make_artifact(tmp_path / "wrong", body="y = np.maximum(x, 0) * 1.01")
    outcome = invoke("verify", wrong)
    assert outcome.status == 1
    assert "FAILED" in outcome.out
    assert json.loads(invoke("verify", wrong, "--json").out)["passed"] is False


def test_not_a_number_fails(invoke: Invoke, tmp_path: Path, make_artifact: Callable[..., Path]) -> None:
    outcome = invoke("verify", make_artifact(tmp_path / "nan", body="y = x * np.nan"))
    assert outcome.status == 1


def test_what_cannot_run_here_is_unverified_with_the_reason(
    invoke: Invoke, tmp_path: Path, make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = make_artifact(tmp_path / "foreign", emulator=("qemu-m68k-nowhere",))
    outcome = invoke("verify", foreign)
    assert outcome.status == 0
    assert "unverified: the emulator qemu-m68k-nowhere is not installed" in outcome.out
    assert json.loads(invoke("verify", foreign, "--json").out)["passed"] is None


def test_a_crash_is_an_error_with_what_the_program_said(
    invoke: Invoke, tmp_path: Path, make_artifact: Callable[..., Path]
) -> None:
    crashing = make_artifact(tmp_path / "crash", body="sys.exit('out of registers')")
    outcome = invoke("verify", crashing)
    assert outcome.status != 0
    assert "EC0651" in outcome.err
    assert "Traceback" not in outcome.err
    assert "out of registers" in outcome.err
    assert "hint: " in outcome.err


def test_a_changed_file_is_found_before_anything_runs(invoke: Invoke, scripted_artifact: Path) -> None:
    marker = scripted_artifact.parent / "ran"
    (scripted_artifact / "bin" / "relu").write_text(f"#!/bin/sh\ntouch {marker}\n")
    outcome = invoke("verify", scripted_artifact)
    assert outcome.status == 2
    assert "EC0606" in outcome.err
    assert "bin/relu" in outcome.err
    assert not marker.exists()


def test_run_writes_the_outputs(invoke: Invoke, scripted_artifact: Path, inputs_file: Path, tmp_path: Path) -> None:
    outcome = invoke("run", scripted_artifact, "--input", inputs_file, "--output", tmp_path / "y.npz", "--json")
    assert outcome.status == 0
    assert json.loads(outcome.out) == [{"name": "y", "dtype": "float32", "shape": [1, 4]}]
    with np.load(tmp_path / "y.npz") as arrays:
        np.testing.assert_array_equal(arrays["y"], np.array([[0, 2, 0, 4]], np.float32))


def test_several_samples_give_as_many_outputs(invoke: Invoke, scripted_artifact: Path, tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
    np.savez(tmp_path / "x.npz", x=x)
    assert invoke("run", scripted_artifact, "-i", tmp_path / "x.npz", "-o", tmp_path / "y.npz").status == 0
    with np.load(tmp_path / "y.npz") as arrays:
        np.testing.assert_array_equal(arrays["y"], np.maximum(x, 0))


def test_equal_runs_write_equal_bytes(
    invoke: Invoke, scripted_artifact: Path, inputs_file: Path, tmp_path: Path
) -> None:
    for name in ("a.npz", "b.npz"):
        invoke("run", scripted_artifact, "-i", inputs_file, "-o", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("arrays", "status", "what"),
    [
        ({"x": np.zeros((1, 4))}, 2, "is float64, the model takes float32"),
        ({"x": np.zeros((1, 5), np.float32)}, 2, "has the shape [1, 5]"),
        ({"z": np.zeros((1, 4), np.float32)}, 2, "no array for the input x"),
        ({"x": np.zeros((0, 4), np.float32)}, 2, "no samples"),
        ({}, 2, "no array for the input x"),
    ],
)
def test_inputs_that_do_not_fit(
    invoke: Invoke, scripted_artifact: Path, tmp_path: Path, arrays: dict[str, np.ndarray], status: int, what: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    outcome = invoke("run", scripted_artifact, "-i", tmp_path / "x.npz", "-o", tmp_path / "y.npz")
    assert outcome.status == status
    assert what in outcome.err
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("output", ["/dev/full", "/proc/y.npz", "absent/y.npz", "folder"])
def test_an_output_that_cannot_be_written(
    invoke: Invoke, scripted_artifact: Path, inputs_file: Path, tmp_path: Path, output: str
) -> None:
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    place = Path(output) if output.startswith("/") else tmp_path / output
    outcome = invoke("run", scripted_artifact, "-i", inputs_file, "-o", place)
    assert outcome.status == 2
    assert "EC0106" in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


def test_progress_is_quiet_when_asked(invoke: Invoke, scripted_artifact: Path) -> None:
    assert "edgec: comparing with ONNX Runtime" in invoke("verify", scripted_artifact).err
    assert invoke("verify", scripted_artifact, "--quiet").err == ""


def test_analyze_counts(invoke: Invoke, small_model: Path) -> None:
    analysis = json.loads(invoke("analyze", small_model, "--json").out)
    assert analysis["macs"] > 0
    assert analysis["parameters"] > 0
    assert analysis["weight_bytes"] == 4 * analysis["parameters"]
    assert analysis["peak_activation_bytes"] > 0
    assert analysis["unknown"] == []
    assert sum(row["macs"] for row in analysis["operators"]) == analysis["macs"]
    assert sum(row["nodes"] for row in analysis["operators"]) == analysis["nodes"]
    text = invoke("analyze", small_model)
    assert f"{analysis['macs']:,}" in text.out


def test_analyze_shows_open_dimensions_and_takes_shapes(invoke: Invoke, tmp_path: Path) -> None:
    import onnx

    from tests.models import detector_net

    path = tmp_path / "detector.onnx"
    model = detector_net()
    for place, extent in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = extent
    onnx.save(model, path)
    name = model.graph.input[0].name
    opened = json.loads(invoke("analyze", path, "--json").out)
    assert opened["open_dimensions"] == [f"{name} axis 2 (height)", f"{name} axis 3 (width)"]
    assert opened["unknown"]
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    closed = json.loads(invoke("analyze", path, "--json", "--shape", f"{name}=1,{channels},64,64").out)
    assert closed["open_dimensions"] == []
    assert closed["macs"] > opened["macs"]
    wrong = invoke("analyze", path, "--shape", f"{name}=1,{channels + 1},64,64")
    assert wrong.status in (2, 4)
    assert "hint: " in wrong.err
