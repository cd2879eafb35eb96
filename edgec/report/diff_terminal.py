"""A comparison on a terminal; import at the moment of need, it brings in Rich."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from edgec.report import formatting
from edgec.report.diff_audit import audit_change_rows
from edgec.report.diff_content import LayerChangeRow, layer_change_table, metric_change_rows, pass_effect
from edgec.report.diff_records import ReportDiff
from edgec.report.terminal_parts import bullets, header_line, plain_table

LARGEST_LAYERS = 10


class TerminalDiff:
    """A comparison that Rich can print: `console.print(TerminalDiff(diff))`."""

    def __init__(self, diff: ReportDiff, *, largest_layers: int = LARGEST_LAYERS) -> None:
        self.diff = diff
        self.largest_layers = largest_layers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Every section that has something to say."""
        diff = self.diff
        yield Text.assemble("before  ", (formatting.printable(diff.before), "bold"))
        yield Text.assemble("after   ", (formatting.printable(diff.after), "bold"))
        yield Text()
        if diff.is_empty:
            yield Text("The reports say the same.")
            return
        if diff.metrics:
            yield _section("Metrics", _metrics(diff))
        if diff.explanation:
            yield _section("What explains the change", bullets(diff.explanation))
        layers = _layers(diff, self.largest_layers)
        if layers is not None:
            yield _section(f"Layers that differ ({len(diff.layers):,}; {diff.equal_layers:,} are equal)", layers)
        if diff.passes:
            yield _section("Passes that differ", _passes(diff))
        if diff.audit:
            yield _section("Audits of the passes on evaluation data that differ", _audit(diff))
        if diff.settings:
            yield _section("Settings that differ", _settings(diff))


def _section(title: str, body: RenderableType) -> RenderableType:
    return Group(header_line(title), Padding(body, (0, 0, 1, 2), expand=False))


def _metrics(diff: ReportDiff) -> RenderableType:
    table = plain_table(
        "metric", "before", "after", "change", "remark", numbers=frozenset({1, 2, 3}), long=frozenset({4})
    )
    for row in metric_change_rows(diff):
        table.add_row(row.label, row.before, row.after, Text(row.change, style="bold"), Text(row.remark))
    return table


def _layers(diff: ReportDiff, largest: int) -> RenderableType | None:
    layers = layer_change_table(diff, largest=largest)
    if layers is None:
        return None
    headings = ("layer", "op", "", *layers.headings, "remark")
    table = plain_table(*headings, numbers=frozenset(range(3, len(headings) - 1)))

    def add(row: LayerChangeRow, style: str) -> None:
        name, op = formatting.shortened(row.name, 26), formatting.shortened(row.op, 14)
        table.add_row(Text(name), Text(op), row.presence, *row.numbers, row.remark, style=style)

    for row in layers.rows:
        add(row, "" if row.is_layer else "dim")
    table.add_section()
    add(layers.total, "bold")
    return table


def _passes(diff: ReportDiff) -> RenderableType:
    table = plain_table("pass", "", "what", "effect against before", long=frozenset({0, 2, 3}))
    for change in diff.passes:
        effect = pass_effect(change.macs, change.parameters, change.bytes)
        table.add_row(Text(formatting.printable(change.name)), change.presence.value, Text(change.what), effect)
    return table


def _audit(diff: ReportDiff) -> RenderableType:
    table = plain_table("audit", "before", "after", numbers=frozenset({1, 2}))
    for row in audit_change_rows(diff):
        table.add_row(row.label, row.before, row.after)
    return table


def _settings(diff: ReportDiff) -> RenderableType:
    table = plain_table("setting", "before", "after", long=frozenset({0, 1, 2}))
    for change in diff.settings:
        cells = (change.name, change.before or "–", change.after or "–")
        table.add_row(*(Text(formatting.printable(cell)) for cell in cells))
    return table
