"""Two reports compared: what changed, by how much, and whether the error bands allow to say so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from edgec.core.metric import Metric, Value
from edgec.core.trace import PassRecord
from edgec.report.diff_audit import audit_changes
from edgec.report.diff_explanation import explain
from edgec.report.diff_records import LayerChange, MetricChange, PassChange, Presence, ReportDiff, SettingChange
from edgec.report.formatting import percent, scientific
from edgec.report.schema import SUM_TOLERANCE, Layer, Metrics, Report, Unverified

Part = TypeVar("Part", Layer, PassRecord)


def diff_reports(before: Report, after: Report) -> ReportDiff:
    """Compare two reports; neither model nor target need be the same."""
    layers, equal = _layer_changes(before, after)
    found = ReportDiff(
        before=f"{before.model.name} on {before.target.name}",
        after=f"{after.model.name} on {after.target.name}",
        settings=tuple(_setting_changes(before, after)),
        metrics=tuple(_metric_changes(before.metrics, after.metrics)),
        layers=layers,
        equal_layers=equal,
        between_layers_ms=_between_change(before, after),
        passes=tuple(_pass_changes(before.passes, after.passes)),
        audit=audit_changes(before.audit, after.audit),
        explanation=(),
    )
    return found.model_copy(update={"explanation": explain(found, before, after)})


def write_diff_json(diff: ReportDiff) -> bytes:
    """The comparison as UTF-8 JSON; equal comparisons give equal bytes."""
    document = diff.model_dump(mode="json", by_alias=True)
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _setting_changes(before: Report, after: Report) -> Iterator[SettingChange]:
    old, new = _settings(before), _settings(after)
    for name in dict.fromkeys([*old, *new]):
        if old.get(name, "") != new.get(name, ""):
            yield SettingChange(name=name, before=old.get(name, ""), after=new.get(name, ""))


def _settings(report: Report) -> dict[str, str]:
    model, target, build = report.model, report.target, report.build
    settings = {
        "edgec": report.edgec,
        "model": model.name,
        "model file": f"SHA-256 {model.sha256[:12]}",
        "inputs": ", ".join(f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in model.inputs),
        "outputs": ", ".join(f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in model.outputs),
        "target": target.name,
        "target file": f"SHA-256 {target.sha256[:12]}",
        "backend": target.backend,
        "recipe": build.recipe,
        "seed": str(build.seed),
        "threads": str(build.threads),
        "verified": _verification(report),
    }
    settings |= {f"option {name}": json.dumps(build.options[name], sort_keys=True) for name in sorted(build.options)}
    return settings | {f"tool {name}": build.tools[name] for name in sorted(build.tools)}


def _verification(report: Report) -> str:
    found = report.verification
    if isinstance(found, Unverified):
        return f"no: {found.reason}"
    error = "bit-exact" if found.bit_exact else f"error {scientific(found.max_relative_error)} of the range"
    return f"{found.where}, {error}, {percent(found.agreement)} agreement"


def _metric_changes(before: Metrics, after: Metrics) -> Iterator[MetricChange]:
    for name in Metrics.model_fields:
        old: Metric = getattr(before, name)
        new: Metric = getattr(after, name)
        if isinstance(old, Value) and isinstance(new, Value):
            if _numbers(old) != _numbers(new):
                yield _change_of_values(name, old, new)
        elif isinstance(old, Value) or isinstance(new, Value):
            yield MetricChange(
                name=name, before=old, after=new, absolute=None, relative=None, bands_overlap=None, same_mode=None
            )


def _change_of_values(name: str, old: Value, new: Value) -> MetricChange:
    absolute = new.value - old.value
    return MetricChange(
        name=name,
        before=old,
        after=new,
        absolute=absolute,
        relative=absolute / old.value if old.value else None,
        bands_overlap=overlap(old, new),
        same_mode=old.mode is new.mode,
    )


def overlap(first: Value, second: Value) -> bool:
    """Whether two error bands have a point in common."""
    return first.low <= second.high and second.low <= first.high


def _between_change(before: Report, after: Report) -> float | None:
    old, new = before.reconciliation, after.reconciliation
    if old is None or new is None:
        return None
    change = new.between_layers_ms - old.between_layers_ms
    rounding = SUM_TOLERANCE * max(abs(old.layers_ms), abs(new.layers_ms))
    return 0.0 if abs(change) <= rounding else change


def _layer_changes(before: Report, after: Report) -> tuple[tuple[LayerChange, ...], int]:
    old, new = _by_name(before.layers), _by_name(after.layers)
    shared = [key for key in old if key in new]
    differing = [key for key in shared if _differences(old[key], new[key])]
    changes = [_changed(old[key], new[key]) for key in differing]
    changes += [_alone(layer, Presence.REMOVED, -1) for key, layer in old.items() if key not in new]
    changes += [_alone(layer, Presence.ADDED, +1) for key, layer in new.items() if key not in old]
    changes.sort(key=lambda change: (-abs(change.latency_ms or 0.0), -abs(change.macs), -abs(change.bytes)))
    return tuple(changes), len(shared) - len(differing)


def _by_name(parts: tuple[Part, ...]) -> dict[tuple[str, int], Part]:
    """Layers or passes by name and, for equal names, by position among them."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], Part] = {}
    for part in parts:
        found[part.name, seen[part.name]] = part
        seen[part.name] += 1
    return found


def _differences(first: Layer, second: Layer) -> tuple[str, ...]:
    """In what two layers differ; their shares depend on the other layers and do not count."""
    if isinstance(first.latency_ms, Value) is not isinstance(second.latency_ms, Value):
        latency = "latency had in one report only"
    else:
        latency = "latency"
    names = (
        ("operator", first.op, second.op),
        ("nodes", first.nodes, second.nodes),
        ("calls", first.calls, second.calls),
        ("MACs", first.macs, second.macs),
        ("bytes", first.bytes, second.bytes),
        (latency, _numbers(first.latency_ms), _numbers(second.latency_ms)),
        ("energy", _numbers(first.energy_mj), _numbers(second.energy_mj)),
        ("counts", first.counts, second.counts),
    )
    return tuple(name for name, old, new in names if old != new)


def _numbers(metric: Metric) -> tuple[float, float, float, str] | None:
    """The part of a metric that a comparison looks at; reasons and sources are prose."""
    return (metric.value, metric.low, metric.high, metric.mode) if isinstance(metric, Value) else None


def _changed(first: Layer, second: Layer) -> LayerChange:
    old, new = first.latency_ms, second.latency_ms
    return LayerChange(
        name=second.name,
        op=second.op if first.op == second.op else f"{first.op} → {second.op}",
        presence=Presence.CHANGED,
        what=_differences(first, second),
        macs=second.macs - first.macs,
        bytes=second.bytes - first.bytes,
        latency_ms=new.value - old.value if isinstance(old, Value) and isinstance(new, Value) else None,
        bands_overlap=overlap(old, new) if isinstance(old, Value) and isinstance(new, Value) else None,
        instructions=second.counts.instructions - first.counts.instructions if first.counts and second.counts else None,
    )


def _alone(layer: Layer, presence: Presence, sign: int) -> LayerChange:
    return LayerChange(
        name=layer.name,
        op=layer.op,
        presence=presence,
        what=(),
        macs=sign * layer.macs,
        bytes=sign * layer.bytes,
        latency_ms=sign * layer.latency_ms.value if isinstance(layer.latency_ms, Value) else None,
        bands_overlap=None,
        instructions=sign * layer.counts.instructions if layer.counts else None,
    )


def _pass_changes(before: tuple[PassRecord, ...], after: tuple[PassRecord, ...]) -> Iterator[PassChange]:
    old, new = _by_name(before), _by_name(after)
    for key in dict.fromkeys([*old, *new]):
        first, second = old.get(key), new.get(key)
        effect = tuple(end - start for start, end in zip(_effect(first), _effect(second), strict=True))
        what = _pass_difference(first, second, effect)
        if what:
            presence = Presence.CHANGED if first and second else (Presence.REMOVED if first else Presence.ADDED)
            macs, parameters, size = effect
            yield PassChange(name=key[0], presence=presence, what=what, macs=macs, parameters=parameters, bytes=size)


def _effect(record: PassRecord | None) -> tuple[int, int, int]:
    """What a pass added to the model: MACs, parameters, bytes."""
    if record is None:
        return 0, 0, 0
    before, after = record.before, record.after
    return after.macs - before.macs, after.parameters - before.parameters, after.bytes - before.bytes


def _pass_difference(first: PassRecord | None, second: PassRecord | None, effect: tuple[int, ...]) -> str:
    if first is None or second is None:
        return "ran in one build only"
    names = (
        ("options", first.options != second.options),
        ("effect on the model's size", any(effect)),
        ("counts", dict(first.stats) != dict(second.stats)),
        ("skipped nodes", first.skipped != second.skipped),
        ("comparison of the outputs", first.gate != second.gate),
    )
    return ", ".join(name for name, differs in names if differs)
