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
def test_a_count_repeats_to_the_last_digit_and_is_the_sum_of_its_functions(
    emulated_artifact: tuple[Path, Interface], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = count_instructions(*emulated_artifact, sample)
    monkeypatch.setenv("A_LONGER_ENVIRONMENT", "x" * 1000)
    assert count_instructions(*emulated_artifact, sample) == first
    assert isinstance(first.total, Value)
    assert first.total.mode == Mode.SIMULATED
    assert first.total.low == first.total.value == first.total.high
    assert first.total.value == sum(first.functions.values())
    assert first.functions["kernel_add"] > first.functions["kernel_copy"] > 64
    assert "main" not in first.functions


@needs_emulator
@pytest.mark.emulator
def test_a_runner_without_the_symbol_has_no_count(emulated_artifact: tuple[Path, Interface], sample: Sample) -> None:
    folder, interface = emulated_artifact
    counts = count_instructions(folder, interface.model_copy(update={"symbol": "other"}), sample)
    assert isinstance(counts.total, Unavailable)
    assert "other_run_traced" in counts.total.unavailable


def test_a_native_artifact_has_no_count_and_says_why(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    counts = count_instructions(*native_artifact, sample)
    assert isinstance(counts.total, Unavailable)
    assert "this machine" in counts.total.unavailable
