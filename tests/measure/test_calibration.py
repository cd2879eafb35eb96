"""Rates of this machine: fitted to times, kept for it, and what predictions of `host` rest on afterwards."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.core.cache import ENVIRONMENT_VARIABLE
from edgec.core.metric import Value
from edgec.core.target_files import load_target
from edgec.measure.calibration import Calibration, TimedNetwork, calibrate, calibration_file, calibration_of
from edgec.measure.calibration_networks import calibration_networks
from edgec.measure.calibration_work import OwnCost, own_work
from edgec.measure.prediction import predict

HOST = load_target("host")
TRUTH = {OwnCost.POINTWISE: 8.0, OwnCost.DIRECT: 10.0, OwnCost.FILTERED: 4.0, OwnCost.KERNEL: 0.1}
KINDS = (KernelKind.POINTWISE, KernelKind.DENSE, KernelKind.DENSE_3X3, KernelKind.DEPTHWISE, KernelKind.OTHER)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))


def _layer(macs: int, kind: KernelKind = KernelKind.POINTWISE, *, weights: int = 0, share: float = 1.0) -> PlannedLayer:
    filtered = kind is KernelKind.DENSE_3X3
    fields = {"macs": macs, "kind": kind, "weight_bytes": weights, "bytes": weights, "filtered": filtered}
    return PlannedLayer(name="l", op="Conv", nodes=("l",), depth=64, share=share, **fields)


def _network(seed: int) -> TimedNetwork:
    """Kernels that take the time of `TRUTH`, give or take 5 %."""
    random = np.random.default_rng(seed)
    kinds = (KernelKind.POINTWISE, KernelKind.DENSE, KernelKind.DENSE_3X3)
    layers = tuple(_layer(int(macs), kinds[at % 3]) for at, macs in enumerate(10 ** random.uniform(5, 8, 60)))
    works = own_work(layers, HOST.core)
    times = (sum(amount * TRUTH.get(cost, 0.0) for cost, amount in work.items()) for work in works)
    return TimedNetwork(layers, tuple(time * random.uniform(0.95, 1.05) for time in times))


def _calibration() -> Calibration:
    return calibrate([_network(0), _network(1)], HOST, threads=1, today=date(2026, 1, 2))


def _keep(calibration: Calibration) -> None:
    path = calibration_file(HOST, calibration.threads)
    path.parent.mkdir(parents=True)
    path.write_text(calibration.model_dump_json(), encoding="utf-8")


def test_the_rates_behind_the_times_are_found_and_the_error_is_that_of_the_times() -> None:
    calibration = _calibration()
    for cost in (OwnCost.POINTWISE, OwnCost.DIRECT, OwnCost.FILTERED):
        assert calibration.rates[cost] == pytest.approx(TRUTH[cost], rel=0.03)
    assert all(rate >= 0 for rate in calibration.rates.values())
    assert 0 < calibration.unseen_error < 0.06
    assert 1 < calibration.factor < 1.1


def test_the_host_is_predicted_by_its_calibration_which_says_so() -> None:
    layers = (_layer(10**8), _layer(10**7, KernelKind.DENSE))
    before = predict(layers, HOST, threads=1).latency_ms
    _keep(_calibration())
    after = predict(layers, HOST, threads=1).latency_ms
    assert isinstance(before, Value)
    assert isinstance(after, Value)
    assert "datasheet alone" in before.source
    assert "calibrated on this machine on 2026-01-02" in after.source
    assert after.value == pytest.approx(0.9, rel=0.03)
    assert after.high / after.low < before.high / before.low


def test_a_calibration_is_for_its_machine_and_its_number_of_threads() -> None:
    _keep(_calibration())
    assert calibration_of(HOST, 1) is not None
    assert calibration_of(HOST, 2) is None
    assert calibration_of(load_target("raspberry-pi-4"), 1) is None


def test_a_calibration_of_another_version_is_none() -> None:
    path = calibration_file(HOST, 1)
    path.parent.mkdir(parents=True)
    path.write_text('{"rates": {}}', encoding="utf-8")
    assert calibration_of(HOST, 1) is None


def test_weights_beyond_the_cache_are_streamed_and_those_within_are_not() -> None:
    cache = int((HOST.core.l2_kib or HOST.core.l1_data_kib).value * 1024)
    (small,) = own_work((_layer(10**6, KernelKind.VECTOR, weights=cache // 2),), HOST.core)
    (large,) = own_work((_layer(10**6, KernelKind.VECTOR, weights=cache * 3),), HOST.core)
    assert small[OwnCost.STREAMED] == 0 < small[OwnCost.CACHED]
    assert large[OwnCost.CACHED] == 0 < large[OwnCost.STREAMED]


def test_a_branch_counts_by_the_share_of_inferences_that_take_it() -> None:
    calibration = _calibration()
    (whole,) = calibration.microseconds((_layer(10**8),), HOST)
    (half,) = calibration.microseconds((_layer(10**8, share=0.5),), HOST)
    assert half == pytest.approx(whole / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_kernel_has_work(kind: KernelKind) -> None:
    assert sum(own_work((_layer(10**6, kind),), HOST.core)[0].values()) > 0


def test_the_small_networks_have_every_class_of_work() -> None:
    from edgec.backends.tvm.backend import TvmBackend
    from edgec.core.passes import PassContext
    from edgec.core.pipeline import OpenGate, Pipeline
    from edgec.core.progress import Silent
    from edgec.graph.cost import model_size
    from edgec.pass_list import pass_list

    small = next(model for model in calibration_networks() if model.graph.name == "small")
    backend = TvmBackend()
    pipeline = Pipeline(pass_list("exact", {}, backend.prerequisites), OpenGate(), model_size)
    lowered = pipeline.run(small, PassContext(HOST)).model
    layers = backend.plan(lowered, HOST, name="small", threads=1, progress=Silent()).layers
    found = {cost for work in own_work(layers, HOST.core) for cost in work}
    assert {OwnCost.DIRECT, OwnCost.CACHED, OwnCost.TRANSCENDENTAL, OwnCost.KERNEL, OwnCost.LIGHT_KERNEL} <= found
