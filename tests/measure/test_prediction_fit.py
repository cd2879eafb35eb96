"""The fit of the datasheets to published latencies: errors and interval on networks that it has not seen."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("fit_latency", "latency_data", "ncnn_boxes", "ncnn_shapes", "ncnn_networks")


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(("gpu", "devices", "goal"), [(False, 80, 0.12), (True, 40, 0.2)])
def test_unseen_networks_are_missed_by_little_and_lie_in_the_interval(
    modules: dict[str, ModuleType], gpu: bool, devices: int, goal: float
) -> None:
    fit, data = modules["fit_latency"], modules["latency_data"]
    errors = fit.unseen(fit.tables()[gpu], fit.GRAPHICS if gpu else fit.PROCESSORS)
    integer = data.integer_networks(errors.table.networks)
    assert len(errors.devices(~integer)) > devices
    assert np.mean(list(errors.devices(~integer).values())) <= goal
    assert np.median(list(errors.devices(integer | True).values())) <= goal
    assert 0.85 <= np.nanmean(errors.covered(~integer)) <= 0.95
    assert 0.85 <= np.nanmean(errors.covered(integer | True)) <= 0.95


def test_only_a_set_up_whose_latencies_fall_as_networks_grow_is_left_out(modules: dict[str, ModuleType]) -> None:
    fit, data = modules["fit_latency"], modules["latency_data"]
    networks = data.read_networks(BENCHMARKS / "ncnn_networks.csv")
    table = data.read_latencies(BENCHMARKS / "ncnn_latencies.csv", networks, fit.GRAPHICS, gpu=True)
    (failed,) = set(table.setups) - set(data.without_failed(table, networks).setups)
    assert table.latency[failed, "vgg16"] < 0.1 * table.latency[failed, "squeezenet"]
    assert len(fit.tables()[False].setups) == 185


def test_boxes_are_compared_only_where_the_threshold_lets_them_through(modules: dict[str, ModuleType]) -> None:
    shapes, boxes = modules["ncnn_shapes"], modules["ncnn_boxes"]
    line = "Yolov3DetectionOutput d 1 1 in out 0=20 1=1 2={} -23304=2,20.0,20.0 -23305=1,0 -23306=1,16.0"
    passing, blocking = (shapes.Layer.parse(line.format(threshold)) for threshold in ("0.3", "0.55"))
    # Nine boxes of 20 pixels every 16: none overlaps another by half, so each is compared to all before it.
    assert boxes.box_pairs(passing, [(3, 3, 25)]) == 9 * 8 / 2
    assert boxes.box_pairs(blocking, [(3, 3, 25)]) == 0


def test_a_network_is_counted_for_both_processors(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    lines = [
        "Input data 0 1 data -23330=4,3,32,32,16",
        "Convolution a 1 1 data a 0=32 1=3 4=1 6=4608",
        "ConvolutionDepthWise b 1 1 a b 0=32 1=3 4=1 6=288 7=32",
        "Swish s 1 1 b s",
    ]
    path = tmp_path / "small.param"
    path.write_text("\n".join(["7767517", "4 4", *lines]) + "\n")
    networks = modules["ncnn_networks"]
    work = networks.count(path)
    positions = 32 * 32
    assert work["dense_3x3_us_per_mmac"] == work["graphics_dense_3x3_us_per_mmac"] == 4608 * positions / 1e6
    assert work["depthwise_us_per_mmac"] == 288 * positions / 1e6
    assert work["transcendental_us_per_million"] == 32 * positions / 1e6
    assert work["kernel_us"] == 2
    assert work["graphics_kernel_us"] == 4 + 2
    assert work["graphics_light_kernel_us"] == 1
