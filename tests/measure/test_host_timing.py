from __future__ import annotations

from pathlib import Path

import pytest

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.tensor import Sample
from edgec.measure.energy import energy_on_host
from edgec.measure.host_timing import median_interval, time_on_host


def test_steps_and_remainder_add_up_to_the_latency(native_artifact: tuple[Path, Interface], sample: Sample) -> None:
    timing = time_on_host(*native_artifact, sample, seconds=0.2)
    parts = [step.value for step in timing.steps_ms] + [timing.remainder_ms.value]
    assert len(timing.steps_ms) == 2
    assert sum(parts) == pytest.approx(timing.latency_ms.value)
    assert timing.remainder_ms.low >= 0
    assert timing.latency_ms.mode == Mode.MEASURED
    assert timing.percentiles_ms[5] <= timing.latency_ms.value <= timing.percentiles_ms[99]
    assert timing.iterations >= 15


@pytest.mark.parametrize(
    # Table of Le Boudec, appendix A: ranks of the 95 % confidence interval of the median.
    ("count", "low", "high"),
    [(6, 1, 6), (9, 2, 8), (20, 6, 15), (50, 18, 33), (70, 27, 44)],
)
def test_the_interval_of_the_median_is_the_tabulated_one(count: int, low: int, high: int) -> None:
    assert median_interval([float(rank) for rank in range(1, count + 1)]) == (low, high)


def test_energy_without_counters_is_unavailable(
    native_artifact: tuple[Path, Interface], sample: Sample, tmp_path: Path
) -> None:
    energy = energy_on_host(*native_artifact, sample, counters=tmp_path)
    assert isinstance(energy, Unavailable)
    assert "energy counters" in energy.unavailable


def test_energy_counts_every_package_once(
    native_artifact: tuple[Path, Interface], sample: Sample, tmp_path: Path
) -> None:
    for zone in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1"):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text("5000\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("262143328850\n")
    energy = energy_on_host(*native_artifact, sample, counters=tmp_path)
    assert isinstance(energy, Value)
    assert energy.value == 0
    assert "2 packages" in energy.source
