"""The comparison of two reports as data, schema `edgec-diff/1`."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgec.core.metric import Metric


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Presence(StrEnum):
    """Where a layer or a pass was found."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class SettingChange(_Record):
    """Something that was asked for or that took part: model, target, option, tool. Empty where there was none."""

    name: str
    before: str
    after: str


class MetricChange(_Record):
    """A metric in both reports.

    Attributes:
        name: key in the report.
        before: in the first report.
        after: in the second.
        absolute: after − before, in the metric's unit; None unless both were had.
        relative: `absolute` over before; None where before is zero or was not had.
        bands_overlap: whether the difference may be error; None unless both were had.
        same_mode: whether both were had in the same way; other differences mix device and method.
    """

    name: str
    before: Metric
    after: Metric
    absolute: float | None
    relative: float | None
    bands_overlap: bool | None
    same_mode: bool | None


class LayerChange(_Record):
    """A layer that is in one report only, or differs.

    Attributes:
        name: the layer; layers are matched by name, equal names in order of execution.
        op: its operator, `Conv → Gemm` where it changed.
        presence: added, removed or changed.
        what: in what it differs: `latency`, `MACs`, `bytes`, `nodes`, …; empty where it is in one report only.
        macs: change of multiply-accumulates.
        bytes: change of bytes moved.
        latency_ms: change of latency, a layer that is absent counting as zero; None where it was not had.
        bands_overlap: whether the change of latency may be error; None unless both were had.
        instructions: change of the instructions, a layer that is absent counting as zero; None where not counted.
    """

    name: str
    op: str
    presence: Presence
    what: tuple[str, ...]
    macs: int
    bytes: int
    latency_ms: float | None
    bands_overlap: bool | None
    instructions: int | None = None


class PassChange(_Record):
    """A pass that ran in one build only, or differs in options or effect; `what` says in which way."""

    name: str
    presence: Presence
    what: str
    macs: int
    parameters: int
    bytes: int


class AuditChange(_Record):
    """A number of the audit of evaluation data that differs.

    Attributes:
        name: its field in the audit, such as `agreement` or `lost`; `class N` is the share of a class that is right
            after the passes, `answer N` that of an answer that they keep.
        before: in the first report; None where its audit has no such number, or there is no audit.
        after: the same of the second.
    """

    name: str
    before: float | None
    after: float | None


class ReportDiff(_Record):
    """The second report against the first.

    Attributes:
        schema_name: `edgec-diff/1`; the key in the file is `schema`.
        before: `model on target` of the first report.
        after: the same of the second.
        settings: what differs in what was asked for.
        metrics: metrics that differ; one that was had in neither report is left out.
        layers: layers that differ, largest change first.
        equal_layers: number of layers without any difference.
        between_layers_ms: change of the time between layers; None where it was not had.
        passes: passes that differ.
        audit: numbers of the audits that differ; classes are compared where both reports list them.
        explanation: sentences that say what the changes of the totals come from, largest part first.
    """

    schema_name: Literal["edgec-diff/1"] = Field(default="edgec-diff/1", alias="schema")
    before: str
    after: str
    settings: tuple[SettingChange, ...]
    metrics: tuple[MetricChange, ...]
    layers: tuple[LayerChange, ...]
    equal_layers: int
    between_layers_ms: float | None
    passes: tuple[PassChange, ...]
    audit: tuple[AuditChange, ...] = ()
    explanation: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the reports say the same."""
        return not (self.settings or self.metrics or self.layers or self.passes or self.audit)
