"""What every rendering says: the rows of the report's sections, before they are set in a medium."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.core.tensor import TensorSpec
from edgec.core.trace import ModelSize, PassRecord
from edgec.report import formatting
from edgec.report.schema import Report, Unverified
from edgec.report.sensitivity import is_sensitivity


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is named and printed."""

    label: str
    show: Callable[[float], str]


STYLES = {
    "latency_ms": MetricStyle("Latency", formatting.milliseconds),
    "energy_mj": MetricStyle("Energy", formatting.millijoules),
    "peak_memory_bytes": MetricStyle("Peak memory", formatting.size),
    "artifact_bytes": MetricStyle("Artefact size", formatting.size),
    "accuracy": MetricStyle("Accuracy", formatting.percent),
    "accuracy_original": MetricStyle("Accuracy of the original", formatting.percent),
    "instructions": MetricStyle("Instructions", formatting.count),
    "memory_accesses": MetricStyle("Memory accesses", formatting.count),
    "l1_misses": MetricStyle("Level 1 misses", formatting.count),
    "last_level_misses": MetricStyle("Last-level misses", formatting.count),
    "luts": MetricStyle("LUTs", formatting.count),
    "flip_flops": MetricStyle("Flip-flops", formatting.count),
    "dsps": MetricStyle("DSP blocks", formatting.count),
    "block_ram_kbit": MetricStyle("Block memory", lambda value: f"{formatting.significant(value)} kbit"),
    "fmax_mhz": MetricStyle("Highest clock", lambda value: f"{formatting.significant(value)} MHz"),
    "cycles": MetricStyle("Cycles", formatting.count),
    "initiation_interval": MetricStyle("Initiation interval", formatting.count),
    "payload_bytes": MetricStyle("Payload", formatting.size),
}


HEADLINES = ("latency_ms", "energy_mj", "peak_memory_bytes", "artifact_bytes", "accuracy")


@dataclass(frozen=True)
class MetricRow:
    """A metric that was had.

    Attributes:
        name: key in the report.
        label: for people.
        text: the value; a predicted one starts with `~`.
        band: `low … high`, or `exact`.
        mode: how it was had.
        source: meter or model.
        track: lower end and value over the upper end of the band, to draw it; None for an exact count.
    """

    name: str
    label: str
    text: str
    band: str
    mode: Mode
    source: str
    track: tuple[float, float] | None


@dataclass(frozen=True)
class Card:
    """A headline metric: its row, or the reason why there is none."""

    label: str
    row: MetricRow | None
    reason: str


@dataclass(frozen=True)
class MissingRow:
    """Metrics that share the reason why they could not be had."""

    labels: tuple[str, ...]
    reason: str


def value_text(value: Value, show: Callable[[float], str]) -> str:
    """The value; `~` in front of a predicted one."""
    return f"~ {show(value.value)}" if value.mode is Mode.PREDICTED else show(value.value)


def band_text(value: Value, show: Callable[[float], str]) -> str:
    """The error band; `exact` for a count."""
    return "exact" if value.low == value.high else f"{show(value.low)} … {show(value.high)}"


def _metric_row(name: str, value: Value) -> MetricRow:
    style = STYLES[name]
    track = (max(0.0, value.low) / value.high, max(0.0, value.value) / value.high) if value.high > 0 else None
    return MetricRow(
        name,
        style.label,
        value_text(value, style.show),
        band_text(value, style.show),
        value.mode,
        formatting.printable(value.source),
        None if value.low == value.high else track,
    )


def metric_rows(report: Report) -> tuple[MetricRow, ...]:
    """The metrics that were had, in the schema's order."""
    metrics: dict[str, Metric] = {name: getattr(report.metrics, name) for name in STYLES}
    return tuple(_metric_row(name, metric) for name, metric in metrics.items() if isinstance(metric, Value))


def cards(report: Report) -> tuple[Card, ...]:
    """The metrics that everybody asks for, had or not, then every other one that was had."""
    found = []
    for name, style in STYLES.items():
        metric: Metric = getattr(report.metrics, name)
        if isinstance(metric, Value):
            found.append(Card(style.label, _metric_row(name, metric), ""))
        elif name in HEADLINES:
            found.append(Card(style.label, None, formatting.printable(metric.unavailable)))
    return tuple(found)


def missing_rows(report: Report) -> tuple[MissingRow, ...]:
    """The metrics that were not had, grouped by reason."""
    labels: dict[str, list[str]] = {}
    for name, style in STYLES.items():
        metric: Metric = getattr(report.metrics, name)
        if isinstance(metric, Unavailable):
            labels.setdefault(formatting.printable(metric.unavailable), []).append(style.label)
    return tuple(MissingRow(tuple(names), reason) for reason, names in labels.items())


@dataclass(frozen=True)
class PassRow:
    """A step of the waterfall.

    Attributes:
        name: the pass, or `as given`.
        short: the name, short enough to stand beside a bar.
        kind: what it promises; empty for `as given`.
        shown: the size of the model after it: MACs, parameters and bytes.
        changes: relative change by it, of MACs, parameters and bytes; `=` for none.
        bars: what is left of the largest step, 0 to 1, of MACs, parameters and bytes.
        gate: the gate's finding in words.
        stats: its counts, `14 folded`.
        seconds: its time; empty for `as given`.
    """

    name: str
    short: str
    kind: str
    shown: tuple[str, str, str]
    changes: tuple[str, str, str]
    bars: tuple[float, float, float]
    gate: str
    stats: str
    seconds: str


def pass_rows(report: Report) -> tuple[PassRow, ...]:
    """The model as given, then one row for each pass that changed it.

    Multiply-accumulates can be counted once shapes are known. Where they are zero at first and not at the end, the
    steps before are shown as unknown.
    """
    model = report.model
    given = ModelSize(macs=model.macs, parameters=model.parameters, bytes=model.bytes)
    records = [record for record in report.passes if record.modified]
    sizes = [given, *(record.after for record in records)]
    tops = tuple(max(column) or 1 for column in zip(*map(_triple, sizes), strict=True))
    is_counted = max(size.macs for size in sizes) > 0
    rows = [
        PassRow(
            "as given",
            "as given",
            "",
            _shown(given, is_counted=is_counted),
            ("", "", ""),
            _bars(given, tops),
            "",
            "",
            "",
        )
    ]
    rows.extend(_pass_row(record, tops, is_counted=is_counted) for record in records)
    return tuple(rows)


def _pass_row(record: PassRecord, tops: tuple[int, ...], *, is_counted: bool) -> PassRow:
    name = formatting.printable(record.name)
    return PassRow(
        name,
        formatting.shortened(name, 19),
        record.kind.value,
        _shown(record.after, is_counted=is_counted),
        _changes(record),
        _bars(record.after, tops),
        gate_text(record),
        _stats(record),
        formatting.milliseconds(record.seconds * 1000),
    )


def _stats(record: PassRecord) -> str:
    """The statistics that say something; those of single layers have a table of their own."""
    said = {name: value for name, value in record.stats.items() if value not in (0, "") and not is_sensitivity(name)}
    return ", ".join(_stat_text(name, value) for name, value in sorted(said.items()))


def _stat_text(name: str, value: float | str) -> str:
    """`14 folded`, or `set to 1: axis 0 of input`."""
    if isinstance(value, str):
        return f"{formatting.printable(name)}: {formatting.printable(value)}"
    return f"{formatting.count(value)} {formatting.printable(name)}"


def idle_passes(report: Report) -> str:
    """The passes that found nothing to change, in a sentence; empty if there are none."""
    names = [formatting.printable(record.name) for record in report.passes if not record.modified]
    if not names:
        return ""
    counted = "1 pass" if len(names) == 1 else f"{len(names)} passes"
    return f"{counted} found nothing to change: {', '.join(dict.fromkeys(names))}."


def _triple(size: ModelSize) -> tuple[int, int, int]:
    return size.macs, size.parameters, size.bytes


def _shown(size: ModelSize, *, is_counted: bool) -> tuple[str, str, str]:
    macs = "unknown" if is_counted and size.macs == 0 else formatting.count(size.macs)
    return macs, formatting.count(size.parameters), formatting.size(size.bytes)


def _bars(size: ModelSize, tops: tuple[int, ...]) -> tuple[float, float, float]:
    macs, parameters, weight = (value / top for value, top in zip(_triple(size), tops, strict=True))
    return macs, parameters, weight


def _changes(record: PassRecord) -> tuple[str, str, str]:
    before, after = _triple(record.before), _triple(record.after)
    macs, parameters, weight = (formatting.change_of(old, new) for old, new in zip(before, after, strict=True))
    return "=" if record.before.macs == 0 else macs, parameters, weight


def gate_text(record: PassRecord) -> str:
    """The gate's finding in words."""
    if record.fidelity is None:
        return formatting.printable(record.gate)
    if record.fidelity.bit_exact:
        return "bit-exact"
    return f"error ≤ {formatting.scientific(record.fidelity.max_relative_error)} of the range"


def assumptions(report: Report) -> tuple[str, ...]:
    """What edgec and its passes decided for the user, each once."""
    by_passes = (text for record in report.passes for text in record.assumptions)
    return tuple(dict.fromkeys(map(formatting.printable, (*report.assumptions, *by_passes))))


@dataclass(frozen=True)
class SkippedRow:
    """Nodes that a pass left alone for one reason."""

    pass_name: str
    nodes: tuple[str, ...]
    reason: str


def skipped_rows(report: Report) -> tuple[SkippedRow, ...]:
    """Skipped nodes, grouped by pass and reason."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for record in report.passes:
        for skip in record.skipped:
            key = formatting.printable(record.name), formatting.printable(skip.reason)
            nodes.setdefault(key, []).append(formatting.printable(skip.node))
    return tuple(SkippedRow(name, tuple(found), reason) for (name, reason), found in nodes.items())


@dataclass(frozen=True)
class MemoryRow:
    """Memory of one owner.

    Attributes:
        owner: weights, code, activations or scratch.
        place: read-only or working memory.
        size: bytes.
        share: its part of all that is known, 0 to 1.
        start: where its part begins in a stacked bar, 0 to 1.
        unknown: why the size is not known; empty if it is.
    """

    owner: str
    place: str
    size: int
    share: float
    start: float
    unknown: str


def memory_rows(report: Report) -> tuple[MemoryRow, ...]:
    """Memory by owner; empty if none of it is known."""
    memory = report.memory
    if isinstance(memory, Unavailable):
        return ()
    code = memory.code_bytes
    reason = formatting.printable(code.unavailable) if isinstance(code, Unavailable) else ""
    owners = (
        ("weights", "read-only", memory.weights_bytes, ""),
        ("code", "read-only", 0 if isinstance(code, Unavailable) else code, reason),
        ("activations", "working memory", memory.activations_bytes, ""),
        ("scratch", "working memory", memory.scratch_bytes, ""),
    )
    whole = sum(size for _, _, size, _ in owners) or 1
    ends = tuple(accumulate(size for _, _, size, _ in owners))
    return tuple(
        MemoryRow(owner, place, size, size / whole, (end - size) / whole, unknown)
        for (owner, place, size, unknown), end in zip(owners, ends, strict=True)
    )


def memory_reason(report: Report) -> str:
    """Why memory by owner is not known; empty if it is."""
    return formatting.printable(report.memory.unavailable) if isinstance(report.memory, Unavailable) else ""


@dataclass(frozen=True)
class Verdict:
    """The verification in words."""

    is_verified: bool
    headline: str
    sentence: str


_WHERE = {
    "host": "on this machine",
    "device": "on the device",
    "cuda": "by this machine's CUDA driver",
    "opencl": "by this machine's OpenCL driver",
}


def verdict(report: Report) -> Verdict:
    """What the comparison with the reference says, for a reader who knows nothing of it."""
    found = report.verification
    if isinstance(found, Unverified):
        return Verdict(False, "Not verified", f"The artefact did not run: {formatting.printable(found.reason)}.")
    reference = {"onnxruntime": "ONNX Runtime"}.get(found.reference, formatting.printable(found.reference))
    where = _WHERE.get(found.where, f"in {found.where}")
    samples = "1 sample" if found.samples == 1 else f"{found.samples:,} samples"
    if found.bit_exact:
        return Verdict(True, "Verified, bit-exact", f"Equal to {reference} in every bit on {samples}, run {where}.")
    allowed = "" if found.tolerance is None else f" ({formatting.scientific(found.tolerance, 1)} allowed)"
    largest = formatting.scientific(found.max_abs_error)
    relative = formatting.scientific(found.max_relative_error)
    sentence = (
        f"Agrees with {reference} on {samples}, run {where}: the largest error is {largest}, {relative} of the "
        f"output's range{allowed}; {formatting.percent(found.agreement)} of the samples have the same largest output."
    )
    return Verdict(True, "Verified", sentence)


def tensor_text(spec: TensorSpec) -> str:
    """`input: float32[1, 3, 224, 224]`."""
    return f"{formatting.printable(spec.name)}: {spec.dtype}[{', '.join(map(str, spec.shape))}]"


def provenance_rows(report: Report) -> tuple[tuple[str, str], ...]:
    """Where the report comes from, as label and text: enough to repeat the build."""
    build, show = report.build, formatting.printable
    rows = [
        ("Written by", f"edgec {show(report.edgec)}, schema {report.schema_name}"),
        ("Model", f"{show(report.model.name)}, SHA-256 {report.model.sha256}"),
        ("Target", f"{show(report.target.name)}, SHA-256 {report.target.sha256}"),
        ("Backend", show(report.target.backend)),
        ("Recipe", show(build.recipe)),
        ("Seed", str(build.seed)),
        ("Threads", str(build.threads)),
    ]
    if build.options:
        rows.append(("Options", show(json.dumps(build.options, sort_keys=True, ensure_ascii=False))))
    if build.tools:
        rows.append(("Tools", ", ".join(f"{show(name)} {show(text)}" for name, text in sorted(build.tools.items()))))
    return tuple(rows)
