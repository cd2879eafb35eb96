from __future__ import annotations

import pytest

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.core.metric import Mode, Value
from edgec.core.target import Target
from edgec.core.target_files import load_target, target_names
from edgec.measure.prediction import predict

GRAPHICS = [name for name in target_names() if load_target(name).backend == "gpu"]


def _convolution(**changed: object) -> PlannedLayer:
    layer = PlannedLayer(
        name="c", op="Conv", nodes=("c",), macs=100_000_000, bytes=1_000_000, kind=KernelKind.DENSE, elements=200_000
    )
    return layer.model_copy(update=changed)


def _latency(layer: PlannedLayer, target: Target) -> float:
    predicted = predict([layer], target, threads=1).latency_ms
    assert isinstance(predicted, Value)
    return predicted.value


@pytest.mark.parametrize("name", GRAPHICS)
def test_a_prediction_says_what_it_is_and_how_wide(name: str) -> None:
    target = load_target(name)
    made = predict([_convolution()], target, threads=1)
    assert isinstance(made.latency_ms, Value)
    assert made.latency_ms.mode == Mode.PREDICTED
    assert made.latency_ms.high >= 3 * made.latency_ms.value
    assert "assumed" in made.latency_ms.source
    assert isinstance(made.energy_mj, Value) == (target.power is not None)


def test_the_longer_of_products_and_bytes_counts_and_the_launch() -> None:
    target = load_target("jetson-nano")
    gpu = target.gpu
    assert gpu is not None
    busy, moving = _convolution(), _convolution(macs=0, bytes=40_000_000)
    assert _latency(_convolution(bytes=2_000_000), target) == _latency(busy, target)
    assert _latency(moving, target) == pytest.approx(2 + gpu.launch_us.value / 1e3)
    assert _latency(_convolution(macs=0, bytes=0), target) == pytest.approx(gpu.launch_us.value / 1e3)


def test_what_a_device_multiplies_faster_is_faster() -> None:
    nano, orin = load_target("jetson-nano"), load_target("jetson-orin-nano")
    single, half, byte = (_convolution(precision=each) for each in ("float32", "float16", "int8"))
    assert _latency(half, nano) == _latency(single, nano)
    assert _latency(byte, nano) == _latency(single, nano)
    assert _latency(byte, orin) < _latency(half, orin)


def test_few_results_leave_lanes_idle() -> None:
    target = load_target("jetson-orin-nano")
    assert _latency(_convolution(elements=100), target) > 10 * _latency(_convolution(), target)


def test_a_processor_is_not_predicted_by_the_model_of_graphics() -> None:
    assert "roofline" not in str(predict([_convolution()], load_target("jetson-nano-cpu"), threads=1).latency_ms)
