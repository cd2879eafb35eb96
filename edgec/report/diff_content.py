"""What every rendering of a comparison says: its rows before they are set in a medium."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.core.metric import Metric, Unavailable
from edgec.report import formatting
from edgec.report.content import STYLES, value_text
from edgec.report.diff_explanation import pass_effect as pass_effect
from edgec.report.diff_explanation import signed_amount
from edgec.report.diff_records import LayerChange, MetricChange, ReportDiff


@dataclass(frozen=True)
class MetricChangeRow:
    """A metric before and after, its change, and what to think of it."""

    label: str
    before: str
    after: str
    change: str
    remark: str


def metric_change_rows(diff: ReportDiff) -> tuple[MetricChangeRow, ...]:
    """The metrics that differ."""
    return tuple(_metric_row(change) for change in diff.metrics)


def _metric_row(change: MetricChange) -> MetricChangeRow:
    style = STYLES[change.name]
    shown = "–"
    if change.absolute is not None:
        relative = "" if change.relative is None else f" ({formatting.signed_percent(change.relative)})"
        shown = f"{signed_amount(change.absolute, style.show)}{relative}"
    return MetricChangeRow(
        style.label, _side(change, change.before), _side(change, change.after), shown, _remark(change)
    )


def _side(change: MetricChange, metric: Metric) -> str:
    return "unavailable" if isinstance(metric, Unavailable) else value_text(metric, STYLES[change.name].show)


def _remark(change: MetricChange) -> str:
    if isinstance(change.before, Unavailable):
        return formatting.printable(change.before.unavailable)
    if isinstance(change.after, Unavailable):
        return formatting.printable(change.after.unavailable)
    if not change.same_mode:
        return f"{change.before.mode.value}, then {change.after.mode.value}"
    if change.before.low == change.before.high and change.after.low == change.after.high:
        return "exact"
    return "bands overlap" if change.bands_overlap else "bands apart"


@dataclass(frozen=True)
class LayerChangeRow:
    """Changes of one layer, or of several that one row sums up; numbers are printed with their sign."""

    name: str
    op: str
    presence: str
    numbers: tuple[str, ...]
    remark: str
    is_layer: bool


@dataclass(frozen=True)
class LayerChangeTable:
    """Changes of layers with a total row that they add up to; columns without any change are left out."""

    headings: tuple[str, ...]
    rows: tuple[LayerChangeRow, ...]
    total: LayerChangeRow


@dataclass(frozen=True)
class _Addends:
    name: str
    op: str
    presence: str
    remark: str
    latency: float
    macs: int
    size: int
    is_layer: bool


def layer_change_table(diff: ReportDiff, *, largest: int) -> LayerChangeTable | None:
    """The `largest` changes, the others in one row, the time between layers, and the total; None without changes."""
    if not diff.layers:
        return None
    timed = all(change.latency_ms is not None for change in diff.layers)
    entries = [_entry(change) for change in diff.layers]
    if len(entries) > largest + 1:
        entries = [*entries[:largest], _others(entries[largest:])]
    if timed and diff.between_layers_ms:
        entries.append(_Addends("time between layers", "", "", "", diff.between_layers_ms, 0, 0, is_layer=False))
    columns = _columns(entries, timed=timed)
    rows = tuple(
        LayerChangeRow(
            entry.name,
            entry.op,
            entry.presence,
            tuple(formatting.signed(column.cells[index]) for _, column in columns),
            entry.remark,
            entry.is_layer,
        )
        for index, entry in enumerate(entries)
    )
    totals = tuple(formatting.signed(column.total) for _, column in columns)
    headings = tuple(f"{name}, {column.unit}" if column.unit else name for name, column in columns)
    return LayerChangeTable(headings, rows, LayerChangeRow("total", "", "", totals, "", is_layer=False))


def _columns(entries: list[_Addends], *, timed: bool) -> list[tuple[str, formatting.Column]]:
    latencies = [entry.latency for entry in entries] if timed else []
    macs, sizes = [entry.macs for entry in entries], [entry.size for entry in entries]
    columns = []
    if any(latencies):
        columns.append(("Time", formatting.milliseconds_column(latencies)))
    if any(macs):
        columns.append(("MACs", formatting.count_column(macs)))
    if any(sizes):
        columns.append(("Moved", formatting.size_column(sizes)))
    return columns


def _entry(change: LayerChange) -> _Addends:
    remarks = [what for what in change.what if what not in {"latency", "MACs", "bytes"}]
    if change.bands_overlap and change.latency_ms:
        remarks.append("bands overlap")
    return _Addends(
        formatting.printable(change.name),
        formatting.printable(change.op),
        change.presence.value,
        ", ".join(remarks),
        change.latency_ms or 0.0,
        change.macs,
        change.bytes,
        is_layer=True,
    )


def _others(entries: list[_Addends]) -> _Addends:
    return _Addends(
        f"{len(entries):,} others",
        "",
        "",
        "",
        math.fsum(entry.latency for entry in entries),
        sum(entry.macs for entry in entries),
        sum(entry.size for entry in entries),
        is_layer=False,
    )
