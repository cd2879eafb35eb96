"""The report on a terminal, as Rich renderables: readable at 80 columns, without colour, and through a pipe.

Import this module at the moment of need: it brings in Rich.
"""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from edgec.report import content, formatting
from edgec.report.audit_terminal import audit_text
from edgec.report.layer_table import LayerRow, LayerTable, layer_table
from edgec.report.schema import Report
from edgec.report.terminal_parts import bar, bullets, header_line, mode_text, plain_table

LARGEST_LAYERS = 10
WIDE = 100
"""Columns from which bars have room beside their tables."""


class TerminalReport:
    """A report that Rich can print: `console.print(TerminalReport(report))`.

    Args:
        report: what to show.
        largest_layers: rows of the layer table; the others are summed in one row.
    """

    def __init__(self, report: Report, *, largest_layers: int = LARGEST_LAYERS) -> None:
        self.report = report
        self.largest_layers = largest_layers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Every section that has something to say, from the verdict to the provenance."""
        report, wide = self.report, options.max_width >= WIDE
        yield _header(report)
        yield _section("Totals of one inference", _metrics(report))
        assumptions = content.assumptions(report)
        if assumptions:
            yield _section("Assumptions", bullets(assumptions))
        yield _section("Passes", _passes(report, wide=wide))
        skipped = content.skipped_rows(report)
        if skipped:
            yield _section("Skipped nodes", _skipped(skipped))
        audit = audit_text(report)
        if audit is not None:
            yield _section("Fidelity on evaluation data", audit)
        table = layer_table(report, largest=self.largest_layers)
        if table is not None:
            yield _section(f"Layers, {_ranking(table)}", _layers(table, wide=wide))
        yield _section("Memory by owner", _memory(report))
        if report.fallbacks:
            yield _section("Fallbacks", _fallbacks(report))


def _section(title: str, body: RenderableType) -> RenderableType:
    return Group(header_line(title), Padding(body, (0, 0, 1, 2), expand=False))


def _header(report: Report) -> RenderableType:
    verdict = content.verdict(report)
    title = Text.assemble(
        (formatting.printable(report.model.name), "bold"), " on ", (formatting.printable(report.target.name), "bold")
    )
    facts = [f"in   {content.tensor_text(spec)}" for spec in report.model.inputs]
    facts += [f"out  {content.tensor_text(spec)}" for spec in report.model.outputs]
    threads = "1 thread" if report.build.threads == 1 else f"{report.build.threads} threads"
    recipe, backend = formatting.printable(report.build.recipe), formatting.printable(report.target.backend)
    facts.append(f"recipe {recipe}, backend {backend}, {threads}")
    mark = Text.assemble((f"{verdict.headline}. ", "bold green" if verdict.is_verified else "bold yellow"))
    return Group(title, *map(Text, facts), Text(), mark + Text(verdict.sentence), Text())


def _metrics(report: Report) -> RenderableType:
    table = plain_table("metric", "value", "band", "how", "source", numbers=frozenset({1}), long=frozenset({4}))
    for row in content.metric_rows(report):
        table.add_row(row.label, Text(row.text, style="bold"), row.band, mode_text(row.mode), Text(row.source))
    missing = [
        Text.assemble(", ".join(row.labels), ": ", ("unavailable", "magenta"), f", {row.reason}")
        for row in content.missing_rows(report)
    ]
    return Group(table, Text(), *missing) if missing else table


def _passes(report: Report, *, wide: bool) -> RenderableType:
    headings = ("pass", "MACs", "params", "bytes", "change", *(("",) if wide else ()), "outputs compared")
    table = plain_table(*headings, numbers=frozenset({1, 2, 3, 4}), long=frozenset({0, len(headings) - 1}))
    for row in content.pass_rows(report):
        bars = (bar(row.bars[2]),) if wide else ()
        table.add_row(Text(row.name), *row.shown, row.changes[2], *bars, Text(row.gate))
    idle = content.idle_passes(report)
    return Group(table, Text(idle, style="dim")) if idle else table


def _skipped(rows: tuple[content.SkippedRow, ...]) -> RenderableType:
    table = plain_table("pass", "nodes", "reason", long=frozenset({0, 1, 2}))
    for row in rows:
        more = f" and {len(row.nodes) - 1:,} more" if len(row.nodes) > 1 else ""
        table.add_row(Text(row.pass_name), Text(f"{formatting.shortened(row.nodes[0], 32)}{more}"), Text(row.reason))
    return table


def _ranking(table: LayerTable) -> str:
    how = f" ({table.mode.value})" if table.mode is not None else ""
    return f"largest by {table.ranked_by}{how}"


def _layers(table: LayerTable, *, wide: bool) -> RenderableType:
    timed = table.mode is not None
    macs = f"MACs, {table.macs_unit}" if table.macs_unit else "MACs"
    numbers = [table.latency_unit] if timed else []
    headings = ("layer", "op", *numbers, "%", *(("",) if wide else ()), macs, table.size_unit)
    right = frozenset(index for index, heading in enumerate(headings) if index > 1 and heading)
    grid = plain_table(*headings, numbers=right)

    def add(row: LayerRow, style: str) -> None:
        latency = (row.latency,) if timed else ()
        bars = (bar(row.bar),) if wide else ()
        name = Text(formatting.shortened(row.name, 44 if wide else 26))
        op = Text(formatting.shortened(row.op, 24 if wide else 14))
        grid.add_row(name, op, *latency, row.share, *bars, row.macs, row.size, style=style)

    for row in table.rows:
        add(row, "" if row.is_layer else "dim")
    grid.add_section()
    add(table.total, "bold")
    return Group(grid, *(Text(note, style="dim") for note in table.notes))


def _memory(report: Report) -> RenderableType:
    rows = content.memory_rows(report)
    if not rows:
        return Text(f"unavailable: {content.memory_reason(report)}")
    table = plain_table("owner", "lies in", "bytes", "size", "share", "", numbers=frozenset({2, 3, 4}))
    for row in rows:
        if row.unknown:
            table.add_row(row.owner, row.place, "–", "–", "–", Text(row.unknown))
        else:
            table.add_row(
                row.owner, row.place, f"{row.size:,}", formatting.size(row.size), formatting.percent(row.share),
                bar(row.share),
            )  # fmt: skip
    whole = sum(row.size for row in rows)
    table.add_section()
    table.add_row("total", "", f"{whole:,}", formatting.size(whole), formatting.percent(1), style="bold")
    return table


def _fallbacks(report: Report) -> RenderableType:
    lines: list[Text] = []
    for row in report.fallbacks:
        lines.append(Text.assemble((formatting.printable(row.node), "bold"), f": {formatting.printable(row.reason)}"))
        lines.append(Text(f"  hint: {formatting.printable(row.hint)}"))
    return Group(*lines)
