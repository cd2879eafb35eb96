"""Failures of `edgec check` as annotations of GitHub Actions, each at its budget's line in the project file.

Format: workflow commands, `::error file=…,line=…,title=…::message`.
"""

from __future__ import annotations

from edgec.report.check_records import CheckResult, Verdict
from edgec.report.content import STYLES


def github_annotations(result: CheckResult) -> tuple[str, ...]:
    """One line for each budget that is not kept."""
    return tuple(_annotation(result, verdict) for verdict in result.failures)


def _annotation(result: CheckResult, verdict: Verdict) -> str:
    title = f"{STYLES[verdict.metric].label} of {verdict.model} on {verdict.target}"
    lines = [verdict.reason]
    lines += [f"in layer {layer}" for layer in verdict.layers] + [f"since {cause}" for cause in verdict.causes]
    place = f"file={_property(result.project)},line={verdict.line},title={_property(title)}"
    return f"::error {place}::{_message(chr(10).join(lines))}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
