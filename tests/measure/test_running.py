from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.interface import Interface
from edgec.core.tensor import Sample
from edgec.measure.running import can_run, run_artifact

needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


def test_a_native_artifact_answers_every_sample(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    folder, interface = native_artifact
    run = run_artifact(folder, interface, [sample, {"x": sample["x"] + np.float32(1)}], warmup=2, iterations=3)
    np.testing.assert_array_equal(run.outputs[0]["y"], 2 * sample["x"])
    np.testing.assert_array_equal(run.outputs[1]["y"], 2 * (sample["x"] + np.float32(1)))
    assert len(run.iteration_ns) == 6
    assert run.step_ns == ()


def test_a_trace_times_every_kernel_call(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    folder, interface = native_artifact
    run = run_artifact(folder, interface, [sample], iterations=4, trace=True)
    (steps,) = run.step_ns
    assert len(steps) == 2
    assert 0 < sum(steps) <= sum(run.iteration_ns) / 4


@needs_emulator
@pytest.mark.emulator
def test_an_emulated_artifact_gives_the_same_answer(emulated_artifact: tuple[Path, Interface], sample: Sample) -> None:
    folder, interface = emulated_artifact
    assert can_run(interface) is None
    np.testing.assert_array_equal(run_artifact(folder, interface, [sample]).outputs[0]["y"], 2 * sample["x"])


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [("illegal", "EC0651", "SIGILL"), ("hang", "EC0652", "stopped"), ("short", "EC0653", "4 bytes")],
)
def test_a_failing_runner_is_a_typed_error(
    native_artifact: tuple[Path, Interface],
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: str,
    words: str,
) -> None:
    folder, interface = native_artifact
    monkeypatch.setenv("RUNNER_FAULT", fault)
    with pytest.raises(EdgecError, match=words) as caught:
        run_artifact(folder, interface, [sample], timeout_seconds=0.5)
    assert caught.value.code.code == code
    assert caught.value.hint


@needs_emulator
@pytest.mark.emulator
def test_an_illegal_instruction_is_named_under_emulation(
    emulated_artifact: tuple[Path, Interface], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNER_FAULT", "illegal")
    with pytest.raises(EdgecError, match="SIGILL"):
        run_artifact(*emulated_artifact, [sample])


def test_inputs_that_do_not_fit_are_refused(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    folder, interface = native_artifact
    for wrong in ({}, {"x": sample["x"].astype(np.float64)}, {"x": sample["x"].ravel()}):
        with pytest.raises(EdgecError, match="'x' takes float32") as caught:
            run_artifact(folder, interface, [wrong])
        assert caught.value.code.status == ExitStatus.USAGE


def test_a_missing_emulator_exits_3_with_the_line_that_installs_it(tmp_path: Path, sample: Sample) -> None:
    interface = Interface(symbol="tiny", inputs=(), outputs=(), runner="bin/tiny-run", emulator=("qemu-absent",))
    assert "qemu-absent is not installed" in str(can_run(interface))
    with pytest.raises(EdgecError) as caught:
        run_artifact(tmp_path, interface, [sample])
    assert caught.value.code.status == ExitStatus.TOOL_MISSING
    assert "qemu-user" in caught.value.hint


def test_an_artifact_without_a_runner_says_so(tmp_path: Path, sample: Sample) -> None:
    interface = Interface(symbol="tiny", inputs=(), outputs=())
    assert can_run(interface)
    with pytest.raises(EdgecError) as caught:
        run_artifact(tmp_path, interface, [sample])
    assert caught.value.code.code == "EC0650"
