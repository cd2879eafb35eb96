"""Where a change since the baseline lies, and what was changed that it may come from."""

from __future__ import annotations

from collections.abc import Iterator

from edgec.budgets.baseline import Entry, LayerFigures, PassEffect
from edgec.budgets.judging import exact_text

_MOST_LAYERS = 3
_SHOWN_DIGEST = 12


def grown_layers(metric: str, baseline: Entry | None, now: Entry) -> tuple[str, ...]:
    """The layers in which the metric grew most, largest first; where none grew the largest layers.

    Empty where the layers have no figure of the metric.
    """
    new = _by_position(now, metric)
    old = _by_position(baseline, metric) if baseline is not None else {}
    changes = []
    for key in dict.fromkeys([*new, *old]) if old else ():
        layer = (new.get(key) or old[key])[0]
        before, after = (side[key][1] if key in side else 0.0 for side in (old, new))
        if after > before:
            changes.append((after - before, layer, before, after))
    if not changes:
        ranked = sorted(new.values(), key=lambda found: -found[1])[:_MOST_LAYERS]
        return tuple(f"{layer.name} ({layer.op}): {exact_text(metric, figure)}" for layer, figure in ranked)
    changes.sort(key=lambda change: -change[0])
    return tuple(_growth(metric, layer, before, after) for _, layer, before, after in changes[:_MOST_LAYERS])


def _growth(metric: str, layer: LayerFigures, before: float, after: float) -> str:
    relative = f", {(after - before) / before:+.1%}" if before else ", new"
    return f"{layer.name} ({layer.op}): {exact_text(metric, before)} → {exact_text(metric, after)}{relative}"


def _by_position(entry: Entry, metric: str) -> dict[tuple[str, int], tuple[LayerFigures, float]]:
    """Layers that have the metric, by name and, for equal names, by position among them."""
    seen: dict[str, int] = {}
    found = {}
    for layer in entry.layers:
        position = seen.get(layer.name, 0)
        seen[layer.name] = position + 1
        if metric in layer.figures:
            found[layer.name, position] = (layer, layer.figures[metric])
    return found


def causes(baseline: Entry | None, now: Entry) -> tuple[str, ...]:
    """What was changed since the baseline: first the pass from which on the model differs, then all that took part."""
    if baseline is None:
        return ()
    found = [*_pass_cause(baseline.passes, now.passes), *_setting_causes(baseline.made_by, now.made_by)]
    return tuple(found) or ("nothing that edgec knows of was changed since the baseline",)


def _pass_cause(old: tuple[PassEffect, ...], new: tuple[PassEffect, ...]) -> Iterator[str]:
    for index in range(max(len(old), len(new))):
        first = old[index] if index < len(old) else None
        second = new[index] if index < len(new) else None
        if first == second:
            continue
        if first is None or second is None or first.name != second.name:
            names = [effect.name if effect else "none" for effect in (first, second)]
            yield f"pass {index + 1}: {names[0]} → {names[1]}"
        elif first.options != second.options:
            yield f"pass {second.name}: options {first.options} → {second.options}"
        else:
            yield (
                f"pass {second.name}: leaves {second.macs:,} MACs, {second.parameters:,} parameters and "
                f"{second.bytes:,} bytes; {first.macs:,}, {first.parameters:,} and {first.bytes:,} before"
            )
        return


def _setting_causes(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        before, after = (_short(side.get(name, "none")) for side in (old, new))
        if old.get(name) != new.get(name):
            yield f"{name}: {before} → {after}"


def _short(text: str) -> str:
    return text[:_SHOWN_DIGEST] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def entry_changes(label: str, old: Entry | None, new: Entry | None) -> Iterator[str]:
    """What an update of the baseline changes in one entry, a line a metric."""
    before = old.metrics if old is not None else {}
    after = new.metrics if new is not None else {}
    for metric in sorted({*before, *after}):
        first, second = before.get(metric), after.get(metric)
        if first == second:
            continue
        shown = [exact_text(metric, figure.value) if figure else "none" for figure in (first, second)]
        relative = f" ({(second.value - first.value) / first.value:+.2%})" if first and second and first.value else ""
        yield f"{label} {metric}: {shown[0]} → {shown[1]}{relative}"
