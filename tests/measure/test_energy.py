from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.tensor import Sample
from edgec.measure.energy import energy_on_host
from edgec.measure.energy_operations import operation_energy_pj
from edgec.measure.energy_radio import LORA_BITS_PER_SECOND, Radio, transfer_energy_mj
from edgec.measure.energy_rails import find_rail, sampled

ARTIFACT_INPUT: Sample = {"x": np.zeros((1, 64), np.float32)}


def _rail(sensors: Path, label: str, channel: int, millivolts: int, milliamperes: int) -> None:
    folder = sensors / "hwmon3"
    folder.mkdir(exist_ok=True)
    (folder / f"in{channel}_label").write_text(f"{label}\n")
    (folder / f"in{channel}_input").write_text(f"{millivolts}\n")
    (folder / f"curr{channel}_input").write_text(f"{milliamperes}\n")


def test_the_rail_of_the_whole_module_is_read_and_not_those_behind_it(tmp_path: Path) -> None:
    _rail(tmp_path, "VDD_CPU_GPU_CV", 1, 5000, 400)
    _rail(tmp_path, "VDD_IN", 2, 5000, 1400)
    rail = find_rail(tmp_path)
    assert rail is not None
    assert rail.name == "VDD_IN"
    assert rail.watts() == pytest.approx(7.0)


def test_energy_of_a_board_with_a_sensor_is_its_power_times_the_latency(
    native_artifact: tuple[Path, Interface], tmp_path: Path
) -> None:
    _rail(tmp_path, "POM_5V_IN", 0, 5000, 2000)
    energy = energy_on_host(*native_artifact, ARTIFACT_INPUT, counters=tmp_path / "none", sensors=tmp_path)
    assert isinstance(energy, Value)
    assert energy.mode == Mode.MEASURED
    assert "POM_5V_IN" in energy.source
    assert 0 < energy.low <= energy.value <= energy.high < 1000


def test_a_sensor_that_fails_meanwhile_gives_no_energy(tmp_path: Path) -> None:
    _rail(tmp_path, "VDD_IN", 1, 5000, 400)
    rail = find_rail(tmp_path)
    assert rail is not None

    def lose_the_sensor() -> None:
        with sampled(rail):
            (tmp_path / "hwmon3/curr1_input").unlink()
            time.sleep(0.1)

    with pytest.raises(FileNotFoundError):
        lose_the_sensor()


def test_without_counters_and_sensors_both_reasons_are_given(
    native_artifact: tuple[Path, Interface], tmp_path: Path
) -> None:
    energy = energy_on_host(*native_artifact, ARTIFACT_INPUT, counters=tmp_path, sensors=tmp_path)
    assert isinstance(energy, Unavailable)
    assert "energy counters" in energy.unavailable
    assert "supply" in energy.unavailable


def test_operations_cost_what_horowitz_states() -> None:
    assert operation_energy_pj(10, 0, "float32") == pytest.approx(46.0)
    assert operation_energy_pj(10, 0, "int8") == pytest.approx(3.0)
    assert operation_energy_pj(0, 8, "float32") == pytest.approx(100.0)


def test_a_megabyte_over_lte_costs_what_the_published_model_states() -> None:
    """At 5.6 Mb/s: 438.39 x 5.6 + 1288.04 mW, Huang et al. 2012."""
    assert transfer_energy_mj(Radio.LTE, 5.6e6, 10**6) == pytest.approx(8 / 5.6 * (438.39 * 5.6 + 1288.04))


def test_a_byte_over_lora_costs_a_thousand_times_one_over_wifi() -> None:
    lora = transfer_energy_mj(Radio.LORA, LORA_BITS_PER_SECOND, 1)
    wifi = transfer_energy_mj(Radio.WIFI, 20e6, 1)
    assert pytest.approx(5469, abs=1) == LORA_BITS_PER_SECOND
    assert 50 < lora / wifi < 5000
