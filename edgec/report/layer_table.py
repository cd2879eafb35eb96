"""The table of layers: what each takes, what lies between them, and a total that they add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.core.metric import Mode, Unavailable, Value
from edgec.report import formatting
from edgec.report.schema import Layer, Report, layer_latency_sum

BETWEEN = "between layers"
_USUAL_PRECISION = "float32"
_QUANTIZED = frozenset({"int8", "uint8"})


@dataclass(frozen=True)
class LayerRow:
    """A row of the layer table.

    Attributes:
        name: the layer, `n others`, or `between layers`.
        op: operator; empty for rows that stand for no single layer.
        detail: the nodes that the kernel computes beyond its name; empty if none.
        macs: in the column's unit.
        size: in the column's unit.
        latency: in the column's unit; empty where layers have no latency.
        share: percentage of what the table is ranked by.
        bar: the same, as a number from 0 to 1 of the longest row.
        is_layer: whether the row is one layer, not a sum or what lies between layers.
    """

    name: str
    op: str
    detail: str
    macs: str
    size: str
    latency: str
    share: str
    bar: float
    is_layer: bool


@dataclass(frozen=True)
class LayerTable:
    """Layers, what lies between them, and a total row that they add up to.

    Attributes:
        ranked_by: `latency` or `MACs`: what shares and bars show.
        mode: how the latencies were had; None where they were not.
        macs_unit: of the MACs column.
        size_unit: of the bytes column.
        latency_unit: of the latency column.
        rows: in the order asked for, then the rest.
        total: the sum row; its name says what it is the sum of.
        notes: what a reader must know to trust the sums.
    """

    ranked_by: str
    mode: Mode | None
    macs_unit: str
    size_unit: str
    latency_unit: str
    rows: tuple[LayerRow, ...]
    total: LayerRow
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Addends:
    name: str
    op: str
    detail: str
    macs: int
    size: int
    latency: float
    is_layer: bool
    has_cost: bool = True


def layer_table(report: Report, *, largest: int | None = None) -> LayerTable | None:
    """The table of layers; None if there is no layer.

    Args:
        report: the report.
        largest: keep so many layers, largest first, and sum the others in one row; None for all in order of execution.
    """
    if not report.layers:
        return None
    timed = layer_latency_sum(report.layers) is not None
    entries = [_addends(layer) for layer in report.layers]
    if largest is not None:
        entries = _largest(entries, largest, by_latency=timed)
    if report.reconciliation is not None and report.reconciliation.between_layers_ms != 0:
        entries.append(
            _Addends(BETWEEN, "", "", 0, 0, report.reconciliation.between_layers_ms, is_layer=False, has_cost=False)
        )
    return _set_table(report, entries, timed=timed)


def _addends(layer: Layer) -> _Addends:
    others = [formatting.printable(node) for node in layer.nodes if node != layer.name]
    calls = [] if layer.calls == 1 else [f"{layer.calls:,} calls"]
    latency = layer.latency_ms.value if isinstance(layer.latency_ms, Value) else 0.0
    types = [] if layer.precision == _USUAL_PRECISION else [f"in {layer.precision}"]
    detail = ", ".join(calls + types + (["with " + ", ".join(others)] if others else []))
    name, op = formatting.printable(layer.name), formatting.printable(layer.op)
    return _Addends(name, op, detail, layer.macs, layer.bytes, latency, is_layer=True)


def _largest(entries: list[_Addends], kept: int, *, by_latency: bool) -> list[_Addends]:
    ranked = sorted(entries, key=lambda entry: -(entry.latency if by_latency else entry.macs))
    if len(ranked) <= kept + 1:
        return ranked
    rest = ranked[kept:]
    others = _Addends(
        f"{len(rest):,} others",
        "",
        "",
        sum(entry.macs for entry in rest),
        sum(entry.size for entry in rest),
        math.fsum(entry.latency for entry in rest),
        is_layer=False,
    )
    return [*ranked[:kept], others]


def _set_table(report: Report, entries: list[_Addends], *, timed: bool) -> LayerTable:
    macs = formatting.count_column([entry.macs for entry in entries])
    sizes = formatting.size_column([entry.size for entry in entries])
    latencies = formatting.milliseconds_column([entry.latency for entry in entries])
    ranks = [entry.latency if timed else float(entry.macs) for entry in entries]
    shares = formatting.share_column(ranks)
    longest = max((abs(rank) for rank in ranks), default=0.0) or 1.0
    rows = tuple(
        LayerRow(
            entry.name,
            entry.op,
            entry.detail,
            macs.cells[index] if entry.has_cost else "",
            sizes.cells[index] if entry.has_cost else "",
            latencies.cells[index] if timed else "",
            shares.cells[index],
            max(0.0, ranks[index]) / longest,
            entry.is_layer,
        )
        for index, entry in enumerate(entries)
    )
    name = "total" if report.reconciliation is not None or not timed else "sum of the layers"
    total = LayerRow(name, "", "", macs.total, sizes.total, latencies.total if timed else "", shares.total, 0.0, False)
    first = report.layers[0].latency_ms
    mode = first.mode if timed and isinstance(first, Value) else None
    notes = _layer_notes(report, timed=timed)
    ranked_by = "latency" if timed else "MACs"
    return LayerTable(ranked_by, mode, macs.unit, sizes.unit, latencies.unit, rows, total, notes)


def _integer_notes(report: Report) -> tuple[str, ...]:
    """How much of a quantized network runs in integers; nothing for one that is not quantized."""
    integer = [layer for layer in report.layers if layer.precision in _QUANTIZED]
    summing = [layer for layer in report.layers if layer.macs]
    among = [layer for layer in summing if layer.precision in _QUANTIZED]
    if not integer:
        return ()
    return (
        f"{len(integer):,} of {len(report.layers):,} layers compute on 8-bit integers, {len(among):,} of the "
        f"{len(summing):,} that multiply and accumulate among them; fallbacks and skipped nodes say why others do not.",
    )


def _layer_notes(report: Report, *, timed: bool) -> tuple[str, ...]:
    notes = []
    if not timed:
        reasons = dict.fromkeys(
            formatting.printable(layer.latency_ms.unavailable)
            for layer in report.layers
            if isinstance(layer.latency_ms, Unavailable)
        )
        notes.append(f"Latency of layers is unavailable: {'; '.join(reasons)}.")
    if report.reconciliation is not None and report.reconciliation.between_layers_ms != 0:
        notes.append(_between_note(report))
    notes += _integer_notes(report)
    in_kernels = sum(layer.macs for layer in report.layers)
    in_model = report.final_size.macs
    if in_kernels != in_model:
        notes.append(
            f"The kernels hold {in_kernels:,} MACs; the graph after the passes counts {in_model:,} "
            f"({formatting.change_of(in_model, in_kernels)})."
        )
    return tuple(notes)


def _between_note(report: Report) -> str:
    row = report.reconciliation
    if row is None:
        return ""
    spent = formatting.milliseconds(row.between_layers_ms).replace("-", "−")
    limit = formatting.milliseconds(row.overhead_ms)
    verdict = "within" if row.within_overhead else "beyond"
    why = f": {formatting.printable(row.explanation)}" if row.explanation else ""
    return f"{spent} lie between layers, {verdict} the {limit} that the meter accounts for{why}."
