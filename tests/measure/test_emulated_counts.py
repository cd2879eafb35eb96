from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.target import Core
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.measure.emulated_counts import EmulatedCounts, count_inference

needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


@pytest.fixture(scope="module")
def core() -> Core:
    return load_target("raspberry-pi-4").core


def counted(artifact: tuple[Path, Interface], sample: Sample, core: Core) -> EmulatedCounts:
    found = count_inference(*artifact, sample, core)
    assert isinstance(found, EmulatedCounts), found
    return found


@needs_emulator
@pytest.mark.emulator
def test_counts_repeat_to_the_last_digit(
    emulated_artifact: tuple[Path, Interface], sample: Sample, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counted(emulated_artifact, sample, core)
    monkeypatch.setenv("A_LONGER_ENVIRONMENT", "x" * 1000)
    assert counted(emulated_artifact, sample, core) == first
    # Two kernels of 64 elements, each at least a load and a store, and nothing of start-up or printing.
    assert 256 < first.total.instructions < 5000
    assert 256 <= first.total.memory_accesses < first.total.instructions
    metric = first.metrics()["instructions"]
    assert isinstance(metric, Value)
    assert metric.mode == Mode.SIMULATED
    assert metric.low == metric.value == metric.high


@needs_emulator
@pytest.mark.emulator
def test_layers_have_their_counts(emulated_artifact: tuple[Path, Interface], sample: Sample, core: Core) -> None:
    found = counted(emulated_artifact, sample, core)
    add, copy = found.steps[0], found.steps[1]
    # The first kernel reads its input twice.
    assert add.memory_accesses - copy.memory_accesses == 64
    assert add.instructions + copy.instructions == pytest.approx(found.total.instructions, rel=0.1)


@needs_emulator
@pytest.mark.emulator
def test_what_fits_a_cache_is_not_missed(emulated_artifact: tuple[Path, Interface], sample: Sample, core: Core) -> None:
    roomy = counted(emulated_artifact, sample, core).total
    tiny = core.model_copy(
        update={"l1_data_kib": core.l1_data_kib.model_copy(update={"value": 0.5}), "l2_kib": None, "l3_kib": None}
    )
    tight = counted(emulated_artifact, sample, tiny).total
    assert roomy.last_level_misses == 0
    # Three arrays of four lines do not fit a cache of eight lines.
    assert tight.l1_misses == tight.last_level_misses >= 8
    assert tight.instructions == roomy.instructions


@needs_emulator
@pytest.mark.emulator
def test_more_work_is_more_instructions(emulated_artifact: tuple[Path, Interface], sample: Sample, core: Core) -> None:
    folder, interface = emulated_artifact
    once = counted(emulated_artifact, sample, core).total
    repeating = (folder, interface.model_copy(update={"runner": "bin/tiny-run-twice"}))
    assert 1.5 < counted(repeating, sample, core).total.instructions / once.instructions <= 2


@needs_emulator
@pytest.mark.emulator
def test_a_runner_that_reads_the_clock_elsewhere_has_no_count(
    emulated_artifact: tuple[Path, Interface], sample: Sample, core: Core
) -> None:
    folder, interface = emulated_artifact
    found = count_inference(folder, interface.model_copy(update={"runner": "bin/tiny-run-clock"}), sample, core)
    assert isinstance(found, Unavailable)
    assert "clock" in found.unavailable


@needs_emulator
@pytest.mark.emulator
def test_a_native_artifact_is_counted_in_the_emulator_of_its_architecture(
    native_artifact: tuple[Path, Interface], sample: Sample, core: Core
) -> None:
    # The C compiler uses no extension beyond the baseline, so the emulator knows every instruction.
    assert counted(native_artifact, sample, core) == counted(native_artifact, sample, core)
