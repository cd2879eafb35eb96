from __future__ import annotations

from pathlib import Path

import pytest

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.core.cache import ENVIRONMENT_VARIABLE
from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.core.target import Target
from edgec.core.target_files import load_target, target_names
from edgec.measure.prediction import PredictedCost, predict


@pytest.fixture(autouse=True)
def uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))


def _layer(
    macs: int, touched: int, op: str = "Conv", kind: KernelKind = KernelKind.POINTWISE, precision: str = "float32"
) -> PlannedLayer:
    return PlannedLayer(
        name=op, op=op, nodes=(op,), macs=macs, bytes=touched, kind=kind, precision=precision, depth=64, elements=1000
    )


LAYERS = (
    _layer(300_000_000, 8_000_000),
    _layer(10_000_000, 4_000_000, kind=KernelKind.DEPTHWISE),
    _layer(0, 4_000_000, "Add", KernelKind.OTHER),
    _layer(0, 4_000_000, "Concat", KernelKind.MOVEMENT),
)
PROCESSORS = [name for name in target_names() if load_target(name).backend == "tvm"]


def _value(metric: Metric) -> Value:
    assert isinstance(metric, Value), metric
    return metric


def _latency(target: str, layers: tuple[PlannedLayer, ...] = LAYERS, threads: int = 4) -> Value:
    return _value(predict(layers, load_target(target), threads=threads).latency_ms)


@pytest.mark.parametrize("target", PROCESSORS)
def test_every_processor_has_a_prediction_whose_layers_add_up_with_their_bands(target: str) -> None:
    cost = predict(LAYERS, load_target(target), threads=4)
    latency = _value(cost.latency_ms)
    assert latency.mode == Mode.PREDICTED
    assert 0 < latency.low < 0.7 * latency.value < 1.5 * latency.value < latency.high
    for end in ("value", "low", "high"):
        layers = [getattr(_value(layer), end) for layer in cost.layers_ms]
        assert len(layers) == len(LAYERS)
        assert sum(layers) == pytest.approx(getattr(latency, end))


@pytest.mark.parametrize("target", [name for name in PROCESSORS if name != "host"])
def test_energies_of_the_layers_add_up_to_the_total_with_their_bands(target: str) -> None:
    cost = predict(LAYERS, load_target(target), threads=4)
    energy = _value(cost.energy_mj)
    for end in ("value", "low", "high"):
        assert sum(getattr(_value(layer), end) for layer in cost.layers_mj) == pytest.approx(getattr(energy, end))


def test_published_latencies_of_other_engines_lie_in_the_band() -> None:
    """MobileNet v1, 569 M MACs in 28 kernels: XNNPACK's README states 75 ms on a Raspberry Pi 4, 115 ms on a 3+."""
    dense = (_layer(540_000_000 // 14, 46_000_000 // 14),) * 14
    depthwise = (_layer(17_400_000 // 13, 12_000_000 // 13, kind=KernelKind.DEPTHWISE),) * 13
    for target, published in (("raspberry-pi-4", 75.0), ("raspberry-pi-3", 115.0)):
        latency = _latency(target, dense + depthwise)
        assert latency.low < published < latency.high


def test_threads_beyond_the_cores_bring_nothing_and_those_between_lie_between() -> None:
    one, two, four, eight = (_latency("jetson-nano-cpu", threads=threads).value for threads in (1, 2, 4, 8))
    assert one > 1.5 * four
    assert one > two > four
    assert eight == four


def test_energy_is_the_boards_power_over_the_latency() -> None:
    cost = predict(LAYERS, load_target("raspberry-pi-4"), threads=4)
    assert _value(cost.energy_mj).value == pytest.approx(_value(cost.latency_ms).value * 6.4)


def test_idle_cores_draw_less() -> None:
    target = load_target("raspberry-pi-4")
    one = predict(LAYERS, target, threads=1)
    assert _value(one.energy_mj).value == pytest.approx(_value(one.latency_ms).value * (2.7 + 3.7 / 4))


def test_integers_take_less_of_the_energy_than_floats() -> None:
    work = (_layer(10**8, 10**6), _layer(10**8, 10**6, precision="int8"))
    floats, integers = predict(work, load_target("raspberry-pi-4"), threads=4).layers_mj
    assert _value(floats).value > 2 * _value(integers).value


def _bare(name: str) -> Target:
    return load_target(name).model_copy(update={"prediction": None})


def test_a_device_of_which_nothing_was_measured_says_so_and_has_a_wider_band() -> None:
    fitted, bare = (
        predict(LAYERS, target, threads=4) for target in (load_target("raspberry-pi-4"), _bare("raspberry-pi-4"))
    )
    known, unknown = _value(fitted.latency_ms), _value(bare.latency_ms)
    assert "datasheet alone" in unknown.source
    assert unknown.high / unknown.low > 1.5 * known.high / known.low
    assert unknown.low < known.value < unknown.high


def test_a_faster_clock_predicts_less_from_the_datasheet_alone() -> None:
    slow = _bare("raspberry-pi-4")
    clock = slow.core.clock_mhz.model_copy(update={"value": 3000.0})
    fast = slow.model_copy(update={"core": slow.core.model_copy(update={"clock_mhz": clock})})
    before, after = (_value(predict(LAYERS, target, threads=4).latency_ms) for target in (slow, fast))
    assert after.value < 0.8 * before.value


def test_classes_of_work_have_rates_of_their_own() -> None:
    pointwise = _latency("raspberry-pi-4", (_layer(10**8, 10**6),))
    depthwise = _latency("raspberry-pi-4", (_layer(10**8, 10**6, kind=KernelKind.DEPTHWISE),))
    integer = _latency("raspberry-pi-4", (_layer(10**8, 10**6, precision="int8"),))
    assert depthwise.value > 3 * pointwise.value
    assert integer.value < pointwise.value


def test_fp32_takes_twice_the_time_where_the_published_latencies_are_of_fp16() -> None:
    target = load_target("raspberry-pi-5")
    assert target.prediction is not None
    halves = target.model_copy(update={"prediction": target.prediction.model_copy(update={"arithmetic": "float32"})})
    work = (_layer(10**9, 10**3),)
    twice, once = (_value(predict(work, each, threads=4).latency_ms) for each in (target, halves))
    assert twice.value == pytest.approx(2 * once.value, rel=0.01)


def test_without_power_in_the_datasheet_energy_is_unavailable_with_the_reason() -> None:
    target = load_target("raspberry-pi-4").model_copy(update={"power": None})
    cost: PredictedCost = predict(LAYERS, target, threads=4)
    assert isinstance(cost.energy_mj, Unavailable)
    assert "states no power" in cost.energy_mj.unavailable
    assert all(isinstance(layer, Unavailable) for layer in cost.layers_mj)
