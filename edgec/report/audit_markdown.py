"""The audit as Markdown."""

from __future__ import annotations

from edgec.report.audit_content import (
    ClassRow,
    audit_sentences,
    class_rows,
    example_cards,
    examples_heading,
    other_classes,
)
from edgec.report.markdown_text import code, escaped, prose, table
from edgec.report.schema import Report
from edgec.report.sensitivity import layer_losses

MOST_CLASSES = 10
MOST_EXAMPLES = 10
MOST_LAYERS = 10


def audit_markdown(report: Report) -> str:
    """The section `Fidelity`; empty if there is nothing to say."""
    parts = [*map(prose, audit_sentences(report)), _classes(report), _examples(report), _layers(report)]
    said = [part for part in parts if part]
    return "\n\n".join(["## Fidelity on evaluation data", *said]) if said else ""


def _classes(report: Report) -> str:
    rows = class_rows(report, MOST_CLASSES)
    if not rows:
        return ""
    headings = ["Class", "Samples", "Before", "After", "Points", "Lost", "Gained", "p"]
    cells = [
        [row.label, row.samples, row.before, row.after, _points(row), row.lost, row.gained, escaped(row.chance)]
        for row in rows
    ]
    shown = table(headings, cells, numbers=frozenset(range(len(headings))))
    others = other_classes(report, len(rows))
    return f"{shown}\n\n{others}" if others else shown


def _points(row: ClassRow) -> str:
    return f"**{row.change}**" if row.verdict else row.change


def _examples(report: Report) -> str:
    lines = [
        f"- {', '.join((card.title, *card.lines, *filter(None, (card.change,))))}"
        for card in example_cards(report, MOST_EXAMPLES)
    ]
    return f"{examples_heading(report)}, the first {len(lines)}:\n\n" + "\n".join(lines) if lines else ""


def _layers(report: Report) -> str:
    losses = layer_losses(report)[:MOST_LAYERS]
    if not losses:
        return ""
    rows = [[code(row.layer), row.text] for row in losses]
    return table(["Layers that lose most if quantized alone", "Signal to noise"], rows, numbers=frozenset({1}))
