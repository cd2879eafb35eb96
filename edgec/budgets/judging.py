"""Is a budget kept? Counted metrics are compared to the last digit, timed ones by their confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.budgets.baseline import TIMED, Entry, Figure
from edgec.core.configuration import Limit
from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.report.check_records import Outcome
from edgec.report.content import STYLES

_ROUNDING = 1e-9
"""Limits are products of decimal fractions: what equals one but for its last bits keeps it."""
MACHINE = "machine"
"""Key of what an entry was made by that names the machine of a measurement."""


@dataclass(frozen=True)
class Judgement:
    """What became of a budget, and why in one sentence."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Compared:
    """What a budget is judged by.

    Attributes:
        metric: key of the metric in the report.
        now: what was had.
        entry: the present figures.
        baseline: the entry of the baseline file; None if it has none.
    """

    metric: str
    now: Metric
    entry: Entry
    baseline: Entry | None

    @property
    def before(self) -> Figure | None:
        """The metric in the baseline; None if it is not there."""
        return self.baseline.metrics.get(self.metric) if self.baseline is not None else None


def limit_text(metric: str, limit: Limit) -> str:
    """A budget as a phrase: `at most 40.0 ms, at most 2 % above the baseline, predicted`."""
    show = STYLES[metric].show
    parts = []
    if limit.max is not None:
        parts.append(f"at most {show(limit.max)}")
    if limit.min is not None:
        parts.append(f"at least {show(limit.min)}")
    if limit.max_increase is not None:
        parts.append(f"at most {limit.max_increase} above the baseline")
    if limit.max_decrease is not None:
        parts.append(f"at most {limit.max_decrease} below the baseline")
    if limit.mode is not None:
        parts.append(limit.mode)
    return ", ".join(parts)


def judge(limit: Limit, compared: Compared) -> Judgement:
    """Judge one budget; what could not be had, or not be compared, is unknown and does not pass."""
    now = compared.now
    if isinstance(now, Unavailable):
        return Judgement(Outcome.UNKNOWN, f"unavailable: {now.unavailable}")
    if limit.mode is not None and now.mode.value != limit.mode:
        return Judgement(Outcome.UNKNOWN, f"the budget is for a {limit.mode} value, this one is {now.mode.value}")
    low, high = _certain(compared.metric, now)
    show = STYLES[compared.metric].show
    if limit.max is not None and low > limit.max + _slack(limit.max):
        return Judgement(Outcome.BROKEN, f"{_shown(compared, low)} exceeds {show(limit.max)}")
    if limit.min is not None and high < limit.min - _slack(limit.min):
        return Judgement(Outcome.BROKEN, f"{_shown(compared, high)} is below {show(limit.min)}")
    if limit.max_increase is None and limit.max_decrease is None:
        return Judgement(Outcome.KEPT, f"{_shown(compared, now.value)}")
    return _against_baseline(limit, compared, low, high)


def _against_baseline(limit: Limit, compared: Compared, low: float, high: float) -> Judgement:
    before = compared.before
    incomparable = _incomparable(compared)
    if before is None or incomparable:
        reason = incomparable or "there is no baseline for it"
        return Judgement(Outcome.UNKNOWN, f"{reason}; run `edgec check --update` and commit the file")
    past_low, past_high = _certain(compared.metric, before.as_value())
    most = past_high * (1 + _share(limit.max_increase)) if limit.max_increase is not None else None
    least = past_low * (1 - _share(limit.max_decrease)) if limit.max_decrease is not None else None
    if most is not None and low > most + _slack(most):
        return Judgement(Outcome.BROKEN, f"{_change(compared, before)}, {limit.max_increase} more is allowed")
    if least is not None and high < least - _slack(least):
        return Judgement(Outcome.BROKEN, f"{_change(compared, before)}, {limit.max_decrease} less is allowed")
    return Judgement(Outcome.KEPT, _change(compared, before))


def _incomparable(compared: Compared) -> str:
    """Why now and baseline cannot be compared; empty if they can."""
    before, now = compared.before, compared.now
    if before is None or compared.baseline is None or isinstance(now, Unavailable):
        return ""
    if before.mode is not now.mode:
        return f"the baseline is {before.mode.value}, this value is {now.mode.value}"
    then, here = (entry.made_by.get(MACHINE, "") for entry in (compared.baseline, compared.entry))
    if compared.metric in TIMED and then != here:
        return f"the baseline was measured on {then or 'another machine'}, this is {here or 'another machine'}"
    return ""


def is_timed(metric: str, value: Metric) -> bool:
    """Whether a value comes from a clock or a power meter, so that another run gives another one."""
    return metric in TIMED and isinstance(value, Value) and value.mode is Mode.MEASURED


def _certain(metric: str, value: Value) -> tuple[float, float]:
    """The band within which the true value lies as far as a budget is concerned.

    A measured time has its confidence interval. Anything else repeats, so its value stands for itself: the band of a
    prediction says how far the device may be off, not how far the next run may be.
    """
    return (value.low, value.high) if is_timed(metric, value) else (value.value, value.value)


def _shown(compared: Compared, end: float) -> str:
    now = compared.now
    show = STYLES[compared.metric].show
    if isinstance(now, Value) and end != now.value:
        return f"{show(now.value)} (certainly beyond {show(end)})"
    return show(end)


def _change(compared: Compared, before: Figure) -> str:
    now = compared.entry.metrics.get(compared.metric, before).value
    if now == before.value:
        return f"{exact_text(compared.metric, now)}, as in the baseline"
    relative = f" ({(now - before.value) / before.value:+.2%})" if before.value else ""
    return f"{exact_text(compared.metric, before.value)} → {exact_text(compared.metric, now)}{relative}"


def exact_text(metric: str, value: float) -> str:
    """A count with every digit, anything else as reports show it."""
    return f"{int(value):,}" if value == int(value) and metric not in TIMED else STYLES[metric].show(value)


def _share(percentage: str) -> float:
    return float(percentage.rstrip("%")) / 100


def _slack(limit: float) -> float:
    return abs(limit) * _ROUNDING
