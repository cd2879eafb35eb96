"""The outcome of `edgec check` as lines of text: broken budgets in full, kept ones in a line."""

from __future__ import annotations

from collections.abc import Iterator

from edgec.report.check_records import CheckResult, Outcome, Verdict
from edgec.report.content import STYLES
from edgec.report.formatting import printable

_MARKS = {Outcome.KEPT: "ok     ", Outcome.BROKEN: "BROKEN ", Outcome.UNKNOWN: "UNKNOWN"}


def check_text(result: CheckResult) -> str:
    """Every budget, its failures explained, then the count."""
    lines: list[str] = []
    build = None
    for verdict in result.verdicts:
        if build != (verdict.target, verdict.model):
            build = (verdict.target, verdict.model)
            lines.append(f"{printable(verdict.model)} on {printable(verdict.target)}")
        lines += _lines(result, verdict)
    if result.baseline_changes:
        lines += ["", f"{result.baseline} changed:", *(f"  {change}" for change in result.baseline_changes)]
    lines += ["", summary(result)]
    return "\n".join(lines) + "\n"


def summary(result: CheckResult) -> str:
    """The outcome in one sentence."""
    total, failed = len(result.verdicts), len(result.failures)
    if not failed:
        return f"all {total} budgets are kept"
    broken = sum(verdict.outcome is Outcome.BROKEN for verdict in result.failures)
    return f"{broken} of {total} budgets broken, {failed - broken} not known"


def _lines(result: CheckResult, verdict: Verdict) -> Iterator[str]:
    label = STYLES[verdict.metric].label
    yield f"  {_MARKS[verdict.outcome]}  {label}: {printable(verdict.reason)}"
    if verdict.outcome is Outcome.KEPT:
        return
    yield f"           budget: {verdict.limit}, {result.project}:{verdict.line}"
    yield from (f"           in layer {printable(layer)}" for layer in verdict.layers)
    yield from (f"           since {printable(cause)}" for cause in verdict.causes)
