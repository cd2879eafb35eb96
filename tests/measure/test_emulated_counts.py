from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Unavailable, Value
from edgec.measure.emulated_counts import count_instructions
from edgec.measure.running import Sample

needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


@needs_emulator
@pytest.mark.emulator
def test_a_count_repeats_to_the_last_digit(
    emulated_artifact: tuple[Path, Interface], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = count_instructions(*emulated_artifact, sample)
    monkeypatch.setenv("A_LONGER_ENVIRONMENT", "x" * 1000)
    assert count_instructions(*emulated_artifact, sample) == first
    assert isinstance(first, Value)
    assert first.mode == Mode.SIMULATED
    assert first.low == first.value == first.high
    # Two kernels of 64 elements, each at least a load and a store, and nothing of start-up or printing.
    assert 256 < first.value < 5000


@needs_emulator
@pytest.mark.emulator
def test_more_work_is_more_instructions(
    emulated_artifact: tuple[Path, Interface], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, interface = emulated_artifact
    once = count_instructions(folder, interface, sample)
    twice = count_instructions(folder, interface.model_copy(update={"runner": "bin/tiny-run-twice"}), sample)
    assert isinstance(once, Value)
    assert isinstance(twice, Value)
    assert 1.5 < twice.value / once.value <= 2


@needs_emulator
@pytest.mark.emulator
def test_a_runner_that_reads_the_clock_elsewhere_has_no_count(
    emulated_artifact: tuple[Path, Interface], sample: Sample
) -> None:
    folder, interface = emulated_artifact
    counts = count_instructions(folder, interface.model_copy(update={"runner": "bin/tiny-run-clock"}), sample)
    assert isinstance(counts, Unavailable)
    assert "clock" in counts.unavailable


def test_a_native_artifact_has_no_count_and_says_why(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    counts = count_instructions(*native_artifact, sample)
    assert isinstance(counts, Unavailable)
    assert "this machine" in counts.unavailable
