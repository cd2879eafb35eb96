"""The baseline file `edgec.baseline.json`: the figures that regressions are judged by, kept in git.

It is written to be read in a review: sorted, one line a metric and a layer, nothing in it that depends on the day.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgec.core.codes.budget import BAD_BASELINE
from edgec.core.errors import EdgecError
from edgec.core.metric import Mode, Value
from edgec.core.output_file import whole_file
from edgec.core.small_file import read_small_file
from edgec.report.schema import Layer, Report

FILE_NAME = "edgec.baseline.json"
TIMED = frozenset({"latency_ms", "energy_mj"})
"""Metrics that a clock or a power meter gives: they differ from run to run."""
_DIGITS = 6


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Figure(_Record):
    """A metric: its value, its band and how it was had; units as in the report."""

    value: float
    low: float
    high: float
    mode: Mode

    @classmethod
    def of(cls, value: Value) -> Figure:
        """The part of a report's value that is compared."""
        return cls(value=_rounded(value.value), low=_rounded(value.low), high=_rounded(value.high), mode=value.mode)

    def as_value(self) -> Value:
        """The same for renderings."""
        return Value(**self.model_dump(), source="the baseline")


class LayerFigures(_Record):
    """A layer: its name, operator, and those figures of it that a budget looks at, by metric."""

    name: str
    op: str
    figures: dict[str, float]


class PassEffect(_Record):
    """A pass: its options as JSON, and the size of the model after it."""

    name: str
    options: str
    macs: int
    parameters: int
    bytes: int


class Entry(_Record):
    """The figures of one model on one target.

    Attributes:
        made_by: what decides the result, by name: versions of tools, digests of the model and the datasheet, options.
        passes: in order.
        metrics: the metrics that have a budget.
        layers: kernel calls in order of execution.
    """

    made_by: dict[str, str]
    passes: tuple[PassEffect, ...]
    metrics: dict[str, Figure]
    layers: tuple[LayerFigures, ...]


class Baseline(_Record):
    """The file: entries by target and model."""

    schema_name: Literal["edgec-baseline/1"] = Field(default="edgec-baseline/1", alias="schema")
    entries: dict[str, dict[str, Entry]] = Field(default_factory=dict)

    def entry(self, target: str, model: str) -> Entry | None:
        """The entry of a model on a target; None if there is none."""
        return self.entries.get(target, {}).get(model)


def entry_of(report: Report, made_by: Mapping[str, str], metrics: Collection[str]) -> Entry:
    """What a baseline keeps of a report.

    Args:
        report: the report.
        made_by: what decides the result, by name.
        metrics: those that have a budget; unavailable ones are left out.
    """
    found = {name: getattr(report.metrics, name) for name in sorted(metrics)}
    passes = tuple(
        PassEffect(
            name=record.name,
            options=json.dumps(record.model_dump(mode="json")["options"], sort_keys=True),
            macs=record.after.macs,
            parameters=record.after.parameters,
            bytes=record.after.bytes,
        )
        for record in report.passes
    )
    return Entry(
        made_by=dict(made_by),
        passes=passes,
        metrics={name: Figure.of(metric) for name, metric in found.items() if isinstance(metric, Value)},
        layers=tuple(
            LayerFigures(name=layer.name, op=layer.op, figures=dict(_figures(layer, metrics)))
            for layer in report.layers
        ),
    )


def _figures(layer: Layer, metrics: Collection[str]) -> Iterator[tuple[str, float]]:
    if "artifact_bytes" in metrics:
        yield "artifact_bytes", layer.bytes
    for name in sorted(metrics):
        counted = getattr(layer.counts, name, None)
        timed = getattr(layer, name, None)
        if counted is not None:
            yield name, counted
        elif isinstance(timed, Value):
            yield name, _rounded(timed.value)


def _rounded(value: float) -> float:
    """Six digits for what is measured; counts below 2**53 stay exact."""
    return value if value == int(value) else float(f"{value:.{_DIGITS}g}")


def read_baseline(path: Path) -> Baseline:
    """The baseline file; an empty baseline if there is none.

    Raises:
        EdgecError: EC0112 if the file cannot be read or understood.
    """
    if not path.exists():
        return Baseline()
    try:
        return Baseline.model_validate_json(read_small_file(path))
    except OSError as fault:
        raise EdgecError(BAD_BASELINE, str(fault.strerror), where=str(path), hint=BAD_BASELINE.remedy) from fault
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg'].lower()}"
        raise EdgecError(BAD_BASELINE, what, where=str(path), hint=BAD_BASELINE.remedy) from None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file; equal baselines give equal bytes.

    Raises:
        EdgecError: EC0106 if it cannot be written.
    """
    with whole_file(path) as file:
        file.write(_text(baseline).encode())


def _text(baseline: Baseline) -> str:
    """JSON with one line for each metric, pass and layer."""
    lines: list[str] = []

    def one_line(record: BaseModel) -> str:
        lines.append(json.dumps(record.model_dump(mode="json"), ensure_ascii=False))
        return f"@line {len(lines) - 1}"

    entries = {
        target: {
            model: {
                "made_by": dict(sorted(entry.made_by.items())),
                "passes": [one_line(effect) for effect in entry.passes],
                "metrics": {name: one_line(figure) for name, figure in sorted(entry.metrics.items())},
                "layers": [one_line(layer) for layer in entry.layers],
            }
            for model, entry in sorted(models.items())
        }
        for target, models in sorted(baseline.entries.items())
    }
    text = json.dumps({"schema": baseline.schema_name, "entries": entries}, indent=2, ensure_ascii=False)
    for number in reversed(range(len(lines))):
        text = text.replace(f'"@line {number}"', lines[number], 1)
    return text + "\n"


def merged(old: Entry | None, new: Entry) -> Entry:
    """The new entry, with the old figures of timed metrics that did not change beyond their bands.

    So an update shows in a review only what really changed.
    """
    if old is None:
        return new
    kept = {
        name: figure
        for name, figure in old.metrics.items()
        if name in TIMED and name in new.metrics and _same(figure, new.metrics[name])
    }
    if not kept:
        return new
    before = {(index, layer.name): layer for index, layer in enumerate(old.layers)}
    layers = tuple(
        layer.model_copy(update={"figures": layer.figures | _timed_figures(before.get((index, layer.name)), kept)})
        for index, layer in enumerate(new.layers)
    )
    return new.model_copy(update={"metrics": new.metrics | kept, "layers": layers})


def _same(old: Figure, new: Figure) -> bool:
    return old.mode is new.mode and old.low <= new.high and new.low <= old.high


def _timed_figures(layer: LayerFigures | None, kept: Collection[str]) -> dict[str, float]:
    if layer is None:
        return {}
    return {name: figure for name, figure in layer.figures.items() if name in kept}
