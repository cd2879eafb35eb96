"""Branches and loops in the C artefact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backends.artifacts import build, run
from tests.backends.control_flow_graphs import branch_net, loop_net, nested_loop_net, while_net

X = np.random.default_rng(7).standard_normal((4, 6)).astype("float32")


@pytest.mark.parametrize("flag", [True, False])
def test_branches(tmp_path: Path, flag: bool) -> None:
    plan = build(branch_net(), tmp_path)
    outputs, _ = run(plan, tmp_path, {"x": X, "flag": np.array(flag)})
    np.testing.assert_allclose(outputs["y"], 2 * X + 1 if flag else 2 * X, rtol=1e-6)
    np.testing.assert_allclose(outputs["same"], X if flag else 2 * X, rtol=1e-6)


@pytest.mark.parametrize("backwards", [False, True])
def test_loops_carry_scan_and_collect(tmp_path: Path, backwards: bool) -> None:
    plan = build(loop_net(backwards=backwards), tmp_path)
    outputs, _ = run(plan, tmp_path, {"x": X})
    rows = X[::-1] if backwards else X
    sums = 1 + np.cumsum(rows, axis=0)
    np.testing.assert_allclose(outputs["final"], sums[-1], rtol=1e-5)
    np.testing.assert_allclose(outputs["before"], sums[-2], rtol=1e-5)
    np.testing.assert_allclose(outputs["sums"], sums[::-1] if backwards else sums, rtol=1e-5)
    assert plan.layers[0].calls == 4


@pytest.mark.parametrize("count", [0, 1, 3])
def test_loops_stop_at_a_computed_count(tmp_path: Path, count: int) -> None:
    plan = build(loop_net(trip_count=True), tmp_path)
    outputs, _ = run(plan, tmp_path, {"x": X, "count": np.array(count)})
    np.testing.assert_allclose(outputs["final"], 1 + X[:count].sum(axis=0), rtol=1e-5)


def test_a_count_beyond_the_bound_is_an_error(tmp_path: Path) -> None:
    plan = build(loop_net(trip_count=True), tmp_path)
    with pytest.raises(AssertionError, match="trip count exceeds"):
        run(plan, tmp_path, {"x": X, "count": np.array(5)})


def test_loops_stop_at_a_condition(tmp_path: Path) -> None:
    plan = build(while_net(), tmp_path)
    outputs, _ = run(plan, tmp_path, {"x": np.array([3.0])})
    assert outputs["final"] == [12.0]


def test_a_loop_in_a_loop(tmp_path: Path) -> None:
    plan = build(nested_loop_net(), tmp_path)
    outputs, _ = run(plan, tmp_path, {"x": X})
    np.testing.assert_allclose(outputs["rows"], 8 * X, rtol=1e-5)
    np.testing.assert_allclose(outputs["final"], 8 * X.sum(axis=0), rtol=1e-4, atol=1e-5)
    assert [layer.calls for layer in plan.layers] == [12, 4]
