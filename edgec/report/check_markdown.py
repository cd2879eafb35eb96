"""The outcome of `edgec check` as GitHub-flavoured Markdown: the summary of a CI job."""

from __future__ import annotations

from edgec.report.check_records import CheckResult, Outcome, Verdict
from edgec.report.check_text import summary
from edgec.report.content import STYLES
from edgec.report.markdown_text import escaped, prose, table


def write_check_markdown(result: CheckResult) -> str:
    """Failures first and in full, then every budget in a table."""
    parts = [f"# edgec check: {summary(result)}"]
    parts += [_failure(result, verdict) for verdict in result.failures]
    if result.baseline_changes:
        parts.append("## Baseline\n\n" + "\n".join(f"- {prose(change)}" for change in result.baseline_changes))
    rows = [
        [
            escaped(verdict.model),
            escaped(verdict.target),
            STYLES[verdict.metric].label,
            verdict.outcome.value if verdict.outcome is Outcome.KEPT else f"**{verdict.outcome.value}**",
            prose(verdict.reason),
            escaped(verdict.limit),
        ]
        for verdict in result.verdicts
    ]
    parts.append("## Budgets\n\n" + table(["Model", "Target", "Metric", "Outcome", "Value", "Budget"], rows))
    return "\n\n".join(parts) + "\n"


def _failure(result: CheckResult, verdict: Verdict) -> str:
    label = STYLES[verdict.metric].label
    lines = [
        f"## {label} of {escaped(verdict.model)} on {escaped(verdict.target)}: {verdict.outcome.value}",
        "",
        f"{prose(verdict.reason)} ({escaped(verdict.limit)}; {escaped(result.project)}:{verdict.line})",
        "",
        *(f"- in layer {prose(layer)}" for layer in verdict.layers),
        *(f"- since {prose(cause)}" for cause in verdict.causes),
    ]
    return "\n".join(lines).rstrip()
