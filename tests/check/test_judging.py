"""The rules by which a budget is kept or broken."""

from __future__ import annotations

import pytest

from edgec.budgets.baseline import Entry, Figure, merged
from edgec.budgets.judging import Compared, judge
from edgec.core.configuration import Limit
from edgec.core.metric import Mode, Value, exact
from edgec.report.check_records import Outcome


def entry(metric: str, value: Value, machine: str = "here") -> Entry:
    return Entry(made_by={"machine": machine}, passes=(), metrics={metric: Figure.of(value)}, layers=())


def judged(metric: str, limit: Limit, now: Value, before: Value | None = None, machine: str = "here") -> Outcome:
    baseline = entry(metric, before, machine) if before is not None else None
    return judge(limit, Compared(metric, now, entry(metric, now), baseline)).outcome


def timed(value: float, low: float, high: float, mode: Mode = Mode.MEASURED) -> Value:
    return Value(value=value, low=low, high=high, mode=mode, source="a clock")


@pytest.mark.parametrize(
    ("now", "outcome"),
    [(100_000, Outcome.KEPT), (101_000, Outcome.KEPT), (101_001, Outcome.BROKEN), (103_000, Outcome.BROKEN)],
)
def test_a_count_is_held_to_the_last_digit(now: int, outcome: Outcome) -> None:
    before = exact(100_000, Mode.SIMULATED, "an emulator")
    assert judged("instructions", Limit(max_increase="1%"), exact(now, Mode.SIMULATED, "x"), before) is outcome


def test_a_time_breaks_its_budget_only_when_its_interval_clears_the_limit() -> None:
    limit = Limit(max=10.0)
    assert judged("latency_ms", limit, timed(12, 9.9, 14)) is Outcome.KEPT
    assert judged("latency_ms", limit, timed(12, 10.1, 14)) is Outcome.BROKEN


def test_a_time_is_compared_with_the_interval_of_the_baseline() -> None:
    limit, before = Limit(max_increase="10%"), timed(10, 9, 11)
    assert judged("latency_ms", limit, timed(13, 12.0, 14), before) is Outcome.KEPT
    assert judged("latency_ms", limit, timed(13, 12.2, 14), before) is Outcome.BROKEN


def test_a_time_of_another_machine_is_no_baseline() -> None:
    assert (
        judged("latency_ms", Limit(max_increase="10%"), timed(1, 1, 1.1), timed(1, 1, 1.1), "there") is Outcome.UNKNOWN
    )


def test_a_prediction_stands_for_itself() -> None:
    assert judged("latency_ms", Limit(max=10.0), timed(12, 5, 20, Mode.PREDICTED)) is Outcome.BROKEN


def test_what_should_be_large_has_limits_from_below() -> None:
    before = exact(0.9, Mode.MEASURED, "x")
    assert judged("accuracy", Limit(min=0.8), exact(0.79, Mode.MEASURED, "x")) is Outcome.BROKEN
    assert judged("accuracy", Limit(max_decrease="1%"), exact(0.88, Mode.MEASURED, "x"), before) is Outcome.BROKEN
    assert judged("accuracy", Limit(max_decrease="1%"), exact(0.895, Mode.MEASURED, "x"), before) is Outcome.KEPT


def test_another_way_to_have_a_value_is_no_baseline() -> None:
    limit, before = Limit(max_increase="10%"), timed(10, 9, 11, Mode.PREDICTED)
    assert judged("latency_ms", limit, timed(10, 9, 11), before) is Outcome.UNKNOWN


def test_an_update_keeps_times_that_did_not_change_beyond_their_bands() -> None:
    old, near, far = (entry("latency_ms", value) for value in (timed(10, 9, 11), timed(10.5, 10, 12), timed(5, 4, 6)))
    assert merged(old, near).metrics == old.metrics
    assert merged(old, far).metrics == far.metrics
    assert merged(None, near) == near
