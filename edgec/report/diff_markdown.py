"""A comparison as GitHub-flavoured Markdown: the comment of a pull request."""

from __future__ import annotations

from edgec.report.diff_audit import audit_change_rows
from edgec.report.diff_content import LayerChangeRow, layer_change_table, metric_change_rows, pass_effect
from edgec.report.diff_records import ReportDiff
from edgec.report.markdown_text import code, escaped, prose, table

LARGEST_LAYERS = 10


def write_diff_markdown(diff: ReportDiff, *, largest_layers: int = LARGEST_LAYERS) -> str:
    """The comparison, its layers cut to the largest changes and one row for the others."""
    title = f"# {escaped(diff.before)} → {escaped(diff.after)}"
    if diff.is_empty:
        return f"{title}\n\nThe reports say the same.\n"
    sections = [
        title,
        _metrics(diff),
        _explanation(diff),
        _layers(diff, largest_layers),
        _passes(diff),
        _audit(diff),
        _settings(diff),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _metrics(diff: ReportDiff) -> str:
    rows = [
        [row.label, row.before, row.after, f"**{row.change}**", prose(row.remark)] for row in metric_change_rows(diff)
    ]
    headings = ["Metric", "Before", "After", "Change", "Remark"]
    return f"## Metrics\n\n{table(headings, rows, numbers=frozenset({1, 2, 3}))}" if rows else ""


def _explanation(diff: ReportDiff) -> str:
    if not diff.explanation:
        return ""
    return "## What explains the change\n\n" + "\n".join(f"- {prose(line)}" for line in diff.explanation)


def _layers(diff: ReportDiff, largest: int) -> str:
    layers = layer_change_table(diff, largest=largest)
    if layers is None:
        return ""
    headings = ["Layer", "Operator", "", *layers.headings, "Remark"]

    def cells(row: LayerChangeRow, name: str) -> list[str]:
        return [name, escaped(row.op), row.presence, *row.numbers, row.remark]

    rows = [cells(row, code(row.name) if row.is_layer else f"*{row.name}*") for row in layers.rows]
    rows.append([f"**{cell}**" if cell else "" for cell in cells(layers.total, layers.total.name)])
    shown = table(headings, rows, numbers=frozenset(range(3, len(headings) - 1)))
    return f"## Layers that differ\n\n{len(diff.layers):,} differ, {diff.equal_layers:,} are equal.\n\n{shown}"


def _passes(diff: ReportDiff) -> str:
    rows = [
        [escaped(row.name), row.presence.value, row.what, pass_effect(row.macs, row.parameters, row.bytes)]
        for row in diff.passes
    ]
    return f"## Passes that differ\n\n{table(['Pass', '', 'What', 'Effect against before'], rows)}" if rows else ""


def _audit(diff: ReportDiff) -> str:
    rows = [[row.label, row.before, row.after] for row in audit_change_rows(diff)]
    shown = table(["Audit", "Before", "After"], rows, numbers=frozenset({1, 2}))
    return f"## Audits of the passes on evaluation data that differ\n\n{shown}" if rows else ""


def _settings(diff: ReportDiff) -> str:
    rows = [[escaped(row.name), escaped(row.before or "–"), escaped(row.after or "–")] for row in diff.settings]
    return f"## Settings that differ\n\n{table(['Setting', 'Before', 'After'], rows)}" if rows else ""
