"""The fit of the datasheets to published latencies: errors and interval on networks that it has not seen."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules() -> tuple[ModuleType, ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("fit_latency"), importlib.import_module("latency_data")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_unseen_networks_are_missed_by_little_and_lie_in_the_interval(modules: tuple[ModuleType, ModuleType]) -> None:
    fit, data = modules
    networks = data.read_networks(BENCHMARKS / "ncnn_networks.csv")
    table = data.read_latencies(BENCHMARKS / "ncnn_latencies.csv", networks, gpu=False)
    errors = fit.unseen(table, gpu=False)
    fp32 = ~data.integer_networks(table.networks)
    assert len(errors.devices(fp32)) > 80
    assert np.median(list(errors.devices(fp32).values())) <= 0.12
    assert 0.85 <= np.nanmean(errors.covered(fp32)) <= 0.95
    assert 0.85 <= np.nanmean(errors.covered(fp32 | True)) <= 0.95
