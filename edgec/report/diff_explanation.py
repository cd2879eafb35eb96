"""What the changes of the totals come from, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgec.core.metric import Unavailable, Value
from edgec.report import formatting
from edgec.report.content import STYLES
from edgec.report.diff_records import MetricChange, ReportDiff
from edgec.report.schema import Report

MOST_PARTS = 4
COVERED = 0.9
"""Parts are named, largest first, until so much of a change is explained."""


SPREAD = 0.5
"""If the parts that would be named make less than this share of a change, it is called spread."""


@dataclass(frozen=True)
class _Part:
    name: str
    change: float


def explain(diff: ReportDiff, before: Report, after: Report) -> tuple[str, ...]:
    """The sentences for a comparison whose other fields are complete."""
    return (
        *_caveats(diff, before, after),
        *_latency(diff),
        *_macs(diff),
        *_instructions(diff),
        *_sizes(diff, before, after),
        *_pass_effects(diff),
    )


def signed_amount(value: float, show: Callable[[float], str]) -> str:
    """A change with its sign, `+3.10 ms`; a true minus sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{show(abs(value))}"


def _caveats(diff: ReportDiff, before: Report, after: Report) -> Iterator[str]:
    if before.model.sha256 != after.model.sha256:
        yield "The reports are of different model files."
    if before.target.name != after.target.name:
        yield "The reports are for different targets."
    for change in diff.metrics:
        label = STYLES[change.name].label
        if change.same_mode is False and isinstance(change.before, Value) and isinstance(change.after, Value):
            old, new = change.before.mode.value, change.after.mode.value
            yield f"{label} was {old} before and is {new} now: part of the difference is the method's."
        elif change.bands_overlap and change.absolute:
            shown = signed_amount(change.absolute, STYLES[change.name].show)
            yield f"{label}: the error bands overlap, so {shown} may be error and no change."


def _latency(diff: ReportDiff) -> Iterator[str]:
    total = _absolute(diff, "latency_ms")
    if not total or diff.between_layers_ms is None:
        return
    parts = [_Part(layer.name, layer.latency_ms) for layer in diff.layers if layer.latency_ms]
    if diff.between_layers_ms:
        parts.append(_Part("time between layers", diff.between_layers_ms))
    yield from _largest_parts("Latency", total, parts, formatting.milliseconds)


def _macs(diff: ReportDiff) -> Iterator[str]:
    total = sum(layer.macs for layer in diff.layers)
    if total:
        parts = [_Part(layer.name, layer.macs) for layer in diff.layers if layer.macs]
        yield from _largest_parts("MACs", total, parts, formatting.count)


def _instructions(diff: ReportDiff) -> Iterator[str]:
    total = _absolute(diff, "instructions")
    if total:
        parts = [_Part(layer.name, layer.instructions) for layer in diff.layers if layer.instructions]
        yield from _largest_parts(STYLES["instructions"].label, total, parts, formatting.count)


def _sizes(diff: ReportDiff, before: Report, after: Report) -> Iterator[str]:
    old, new = before.memory, after.memory
    if isinstance(old, Unavailable) or isinstance(new, Unavailable):
        return
    weights = _Part("weights", new.weights_bytes - old.weights_bytes)
    code: list[_Part] = []
    if isinstance(old.code_bytes, int) and isinstance(new.code_bytes, int):
        code.append(_Part("code", new.code_bytes - old.code_bytes))
    working = [
        _Part("activations", new.activations_bytes - old.activations_bytes),
        _Part("scratch", new.scratch_bytes - old.scratch_bytes),
    ]
    for name, parts in (("artifact_bytes", [weights, *code]), ("peak_memory_bytes", working)):
        total = _absolute(diff, name)
        if total:
            yield from _largest_parts(STYLES[name].label, total, parts, formatting.size)


def _pass_effects(diff: ReportDiff) -> Iterator[str]:
    for change in diff.passes:
        effect = pass_effect(change.macs, change.parameters, change.bytes)
        if effect:
            yield f"Pass {change.name} ({change.presence.value}): {effect} against its effect before."


def pass_effect(macs: int, parameters: int, size: int) -> str:
    """The effect of a pass on the model against its effect before; empty if it is the same."""
    parts = (
        (macs, f"{signed_amount(macs, formatting.count)} MACs"),
        (parameters, f"{signed_amount(parameters, formatting.count)} parameters"),
        (size, signed_amount(size, formatting.size)),
    )
    return ", ".join(text for amount, text in parts if amount)


def _largest_parts(label: str, total: float, parts: Sequence[_Part], show: Callable[[float], str]) -> Iterator[str]:
    """One sentence a part, those that push the total in its direction first, then one that pushes back.

    Where the largest parts make less than half of the total, one sentence says that it is spread.
    """
    helping = sorted((part for part in parts if part.change * total > 0), key=lambda part: -abs(part.change))
    opposing = sorted((part for part in parts if part.change * total < 0), key=lambda part: -abs(part.change))
    whole = signed_amount(total, show)
    named = sum(part.change for part in helping[:MOST_PARTS])
    if len(helping) > MOST_PARTS and abs(named) < SPREAD * abs(total):
        yield (
            f"{label}: spread over {len(helping):,} changes; the largest is {helping[0].name} with "
            f"{signed_amount(helping[0].change, show)} of {whole}."
        )
    else:
        yield from _named_parts(label, total, helping, show)
    for part in opposing[:1]:
        if abs(part.change) >= (1 - COVERED) * abs(total):
            yield f"{label}: {part.name} {signed_amount(part.change, show)} against the trend of {whole}."


def _named_parts(label: str, total: float, helping: Sequence[_Part], show: Callable[[float], str]) -> Iterator[str]:
    covered = 0.0
    for part in helping[:MOST_PARTS]:
        yield f"{label}: {part.name} {signed_amount(part.change, show)} of {signed_amount(total, show)}."
        covered += part.change
        if abs(covered) >= COVERED * abs(total):
            break


def _absolute(diff: ReportDiff, name: str) -> float | None:
    found: list[MetricChange] = [change for change in diff.metrics if change.name == name]
    return found[0].absolute if found else None
