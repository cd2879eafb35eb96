"""What the pipeline records of each pass; goes into the report as it is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from edgec.core.fidelity import Fidelity
from edgec.core.passes import Kind


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSize(_Record):
    """The size of a model: multiply-accumulates per inference, parameters, and bytes of its initializers."""

    macs: int
    parameters: int
    bytes: int


class SkippedNode(_Record):
    """A node that a pass left alone, and why."""

    node: str
    reason: str


class PassRecord(_Record):
    """One step of the pipeline.

    Attributes:
        name: the pass.
        kind: what it promises.
        seconds: wall time of the pass without its gate.
        options: its options, as JSON values.
        modified: whether it changed the model.
        before: size of the model that it was given.
        after: size of the model that it returned.
        fidelity: the gate's comparison with the model before; None where the gate did not run.
        gate: `passed`, or why the gate did not run.
        stats: counts of the pass.
        skipped: nodes left alone, with reasons.
        assumptions: what the pass decided for the user.
    """

    name: str
    kind: Kind
    seconds: float
    options: dict[str, Any]
    modified: bool
    before: ModelSize
    after: ModelSize
    fidelity: Fidelity | None
    gate: str
    stats: dict[str, int | float | str]
    skipped: tuple[SkippedNode, ...]
    assumptions: tuple[str, ...] = ()
