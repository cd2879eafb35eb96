"""The outcome of `edgec check` as data, schema `edgec-check/1`."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgec.core.metric import Metric


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Outcome(StrEnum):
    """What became of a budget; only `kept` lets the check pass."""

    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Verdict(_Record):
    """One budget and what it was compared with.

    Attributes:
        target: the target's name.
        model: the model's name in the project file.
        metric: key of the metric in the report.
        line: where the budget stands in the project file, from 1.
        limit: the budget as a phrase, `at most 40 ms`.
        outcome: kept, broken, or unknown where there was nothing to judge by.
        value: what was had now.
        baseline: what it was compared with; None without a regression budget or without a baseline.
        reason: one sentence: by how much, or why it is unknown.
        layers: the layers that grew most, largest first, as phrases.
        causes: what changed since the baseline: pass, tool, model, datasheet, option.
    """

    target: str
    model: str
    metric: str
    line: int
    limit: str
    outcome: Outcome
    value: Metric
    baseline: Metric | None = None
    reason: str
    layers: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


class CheckResult(_Record):
    """All budgets of a project.

    Attributes:
        schema_name: `edgec-check/1`; the key in the file is `schema`.
        project: path of the project file.
        baseline: path of the baseline file.
        verdicts: in the order of the project file.
        baseline_changes: what `--update` changed in the baseline, one line a change.
    """

    schema_name: Literal["edgec-check/1"] = Field(default="edgec-check/1", alias="schema")
    project: str
    baseline: str
    verdicts: tuple[Verdict, ...]
    baseline_changes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """Every budget that is not kept."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is not Outcome.KEPT)

    @property
    def passed(self) -> bool:
        """Whether every budget is kept."""
        return not self.failures
