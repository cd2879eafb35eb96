"""The report as GitHub-flavoured Markdown, for pull requests and notes."""

from __future__ import annotations

from edgec.report import content, formatting
from edgec.report.audit_markdown import audit_markdown
from edgec.report.layer_table import LayerRow, layer_table
from edgec.report.markdown_text import code, escaped, prose, table
from edgec.report.schema import Report

LARGEST_LAYERS = 20


def write_markdown(report: Report, *, largest_layers: int = LARGEST_LAYERS) -> str:
    """The report, its layer table cut to the largest layers and one row for the others."""
    verdict = content.verdict(report)
    sections = [
        f"# {escaped(report.model.name)} on {escaped(report.target.name)}",
        f"**{verdict.headline}.** {prose(verdict.sentence)}",
        "\n".join(
            [
                *(f"- in {code(content.tensor_text(spec))}" for spec in report.model.inputs),
                *(f"- out {code(content.tensor_text(spec))}" for spec in report.model.outputs),
            ]
        ),
        _metrics(report),
        _assumptions(report),
        _passes(report),
        _skipped(report),
        audit_markdown(report),
        _layers(report, largest_layers),
        _memory(report),
        _fallbacks(report),
        _provenance(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _metrics(report: Report) -> str:
    rows = [
        [row.label, f"**{row.text}**", row.band, row.mode.value, prose(row.source)]
        for row in content.metric_rows(report)
    ]
    rows += [[", ".join(row.labels), "–", "", "unavailable", prose(row.reason)] for row in content.missing_rows(report)]
    heading = "## Totals of one inference"
    return f"{heading}\n\n{table(['Metric', 'Value', 'Band', 'How', 'Source or reason'], rows, numbers=frozenset({1}))}"


def _assumptions(report: Report) -> str:
    lines = [f"- {prose(text)}" for text in content.assumptions(report)]
    return "## Assumptions\n\n" + "\n".join(lines) if lines else ""


def _passes(report: Report) -> str:
    rows = [
        [escaped(row.name), row.kind, *map(_with_change, row.shown, row.changes), row.stats, prose(row.gate)]
        for row in content.pass_rows(report)
    ]
    headings = ["Pass", "Promise", "MACs", "Parameters", "Bytes", "Did", "Outputs compared"]
    parts = ["## Passes", table(headings, rows, numbers=frozenset({2, 3, 4})), prose(content.idle_passes(report))]
    return "\n\n".join(part for part in parts if part)


def _with_change(shown: str, change: str) -> str:
    return shown if change in {"", "="} else f"{shown} ({change})"


def _skipped(report: Report) -> str:
    rows = [[escaped(row.pass_name), prose(row.reason), _nodes(row.nodes)] for row in content.skipped_rows(report)]
    return f"## Skipped nodes\n\n{table(['Pass', 'Reason', 'Nodes'], rows)}" if rows else ""


def _nodes(nodes: tuple[str, ...]) -> str:
    shown = ", ".join(map(code, nodes[:4]))
    return f"{shown} and {len(nodes) - 4:,} more" if len(nodes) > 4 else shown


def _layers(report: Report, largest: int) -> str:
    layers = layer_table(report, largest=largest)
    if layers is None:
        return ""
    timed = layers.mode is not None
    headings = ["Layer", "Operator", *([f"Time, {layers.latency_unit}"] if timed else []), "Share, %"]
    headings += [f"MACs, {layers.macs_unit}" if layers.macs_unit else "MACs", f"Moved, {layers.size_unit}"]

    def cells(row: LayerRow, name: str) -> list[str]:
        return [name, escaped(row.op), *([row.latency] if timed else []), row.share, row.macs, row.size]

    rows = [cells(row, code(row.name) if row.is_layer else f"*{row.name}*") for row in layers.rows]
    rows.append([f"**{cell}**" if cell else "" for cell in cells(layers.total, layers.total.name)])
    how = f" ({layers.mode.value})" if layers.mode is not None else ""
    parts = [
        f"## Layers, largest by {layers.ranked_by}{how}",
        table(headings, rows, numbers=frozenset(range(2, len(headings)))),
        *(prose(note) for note in layers.notes),
    ]
    return "\n\n".join(parts)


def _memory(report: Report) -> str:
    rows = [
        [row.owner, row.place, f"unavailable: {prose(row.unknown)}", ""]
        if row.unknown
        else [row.owner, row.place, f"{row.size:,}", formatting.percent(row.share)]
        for row in content.memory_rows(report)
    ]
    if not rows:
        return f"## Memory by owner\n\nUnavailable: {prose(content.memory_reason(report))}"
    whole = sum(row.size for row in content.memory_rows(report))
    rows.append(["**total**", "", f"**{whole:,}**", f"**{formatting.percent(1)}**"])
    return f"## Memory by owner\n\n{table(['Owner', 'Lies in', 'Bytes', 'Share'], rows, numbers=frozenset({2, 3}))}"


def _fallbacks(report: Report) -> str:
    rows = [[code(row.node), prose(row.reason), prose(row.hint)] for row in report.fallbacks]
    return f"## Fallbacks\n\n{table(['Node', 'Why', 'What would help'], rows)}" if rows else ""


def _provenance(report: Report) -> str:
    lines = [f"- {label}: {escaped(text)}" for label, text in content.provenance_rows(report)]
    return "## Provenance\n\n" + "\n".join(lines)
