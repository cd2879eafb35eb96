from __future__ import annotations

import pytest

from edgec.backends.plan import PlannedLayer
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.target_files import load_target
from edgec.measure.prediction import predict


def _layer(macs: int, touched: int, op: str = "Conv", calls: int = 1) -> PlannedLayer:
    return PlannedLayer(name=op, op=op, nodes=(op,), macs=macs, bytes=touched, calls=calls)


LAYERS = (_layer(300_000_000, 8_000_000), _layer(0, 4_000_000, "Add"), _layer(5_000, 20_000, "Gemm", calls=40))


def test_layers_add_up_to_the_total_with_their_bands() -> None:
    cost = predict(LAYERS, load_target("raspberry-pi-4"), threads=4)
    assert isinstance(cost.latency_ms, Value)
    layers = [layer for layer in cost.layers_ms if isinstance(layer, Value)]
    assert len(layers) == len(LAYERS)
    for end in ("value", "low", "high"):
        assert sum(getattr(layer, end) for layer in layers) == pytest.approx(getattr(cost.latency_ms, end))
    assert cost.latency_ms.mode == Mode.PREDICTED
    assert cost.latency_ms.low < 0.7 * cost.latency_ms.value < 1.5 * cost.latency_ms.value < cost.latency_ms.high


def test_published_latencies_of_other_engines_lie_in_the_band() -> None:
    """MobileNet v1, 569 M MACs in 30 kernels: XNNPACK's README states 75 ms on a Raspberry Pi 4, 115 ms on a 3+."""
    mobilenet = tuple(_layer(568_740_352 // 30, 57_800_160 // 30) for _ in range(30))
    for target, published in (("raspberry-pi-4", 75.0), ("raspberry-pi-3", 115.0)):
        latency = predict(mobilenet, load_target(target), threads=4).latency_ms
        assert isinstance(latency, Value)
        assert latency.low < published < latency.high


def test_threads_beyond_the_cores_bring_nothing() -> None:
    target = load_target("jetson-nano")
    one, four, eight = (predict(LAYERS, target, threads=threads).latency_ms for threads in (1, 4, 8))
    assert isinstance(one, Value)
    assert isinstance(four, Value)
    assert isinstance(eight, Value)
    assert one.value > 1.5 * four.value
    assert eight.value == four.value


def test_energy_is_the_boards_power_over_the_latency() -> None:
    cost = predict(LAYERS, load_target("raspberry-pi-4"), threads=4)
    assert isinstance(cost.latency_ms, Value)
    assert isinstance(cost.energy_mj, Value)
    assert cost.energy_mj.value == pytest.approx(cost.latency_ms.value * 6.4)


def test_a_device_without_published_latencies_has_no_prediction() -> None:
    cost = predict(LAYERS, load_target("cortex-m7"), threads=1)
    assert isinstance(cost.latency_ms, Unavailable)
    assert isinstance(cost.energy_mj, Unavailable)
    assert "cortex-m7" in cost.latency_ms.unavailable
    assert len(cost.layers_ms) == len(LAYERS)


def test_integer_kernels_may_be_four_times_as_fast_as_fp32() -> None:
    target = load_target("raspberry-pi-5")
    plain = predict((_layer(10**9, 10**6),), target, threads=4).latency_ms
    integers = predict((_layer(10**9, 10**6, "QLinearConv"),), target, threads=4).latency_ms
    assert isinstance(plain, Value)
    assert isinstance(integers, Value)
    assert integers.low == pytest.approx(plain.low / 4)
