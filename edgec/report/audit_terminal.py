"""The audit on a terminal, as Rich renderables.

Import this module at the moment of need: it brings in Rich.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgec.report import formatting
from edgec.report.audit_content import audit_sentences, class_rows, example_cards, examples_heading, other_classes
from edgec.report.schema import Report
from edgec.report.sensitivity import layer_losses
from edgec.report.terminal_parts import plain_table

MOST_ROWS = 5


def audit_text(report: Report) -> RenderableType | None:
    """Sentences, the classes that are hit most, changed samples, and the layers that lose most."""
    parts: list[RenderableType] = [*map(Text, audit_sentences(report))]
    classes = class_rows(report, MOST_ROWS)
    if classes:
        parts += [Text(), _classes(report)]
        parts += [Text(text, style="dim") for text in filter(None, [other_classes(report, len(classes))])]
    cards = example_cards(report, MOST_ROWS)
    if cards:
        parts += [Text(), Text(f"{examples_heading(report)}, the first {len(cards)}:")]
        parts += [Text("  " + ", ".join((card.title, *card.lines, *filter(None, (card.change,))))) for card in cards]
    losses = layer_losses(report)[:MOST_ROWS]
    if losses:
        table = plain_table("layers that lose most if quantized alone", "signal to noise", numbers=frozenset({1}))
        for row in losses:
            table.add_row(Text(formatting.shortened(row.layer, 44)), row.text)
        parts += [Text(), table]
    return Group(*parts) if parts else None


def _classes(report: Report) -> Table:
    headings = ("class", "samples", "before", "after", "points", "lost", "gained", "p")
    table = plain_table(*headings, numbers=frozenset(range(len(headings))))
    for row in class_rows(report, MOST_ROWS):
        cells = (row.label, row.samples, row.before, row.after, row.change, row.lost, row.gained, row.chance)
        table.add_row(*cells, style="bold" if row.verdict else "")
    return table
