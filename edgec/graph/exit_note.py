"""What a model with early exits says about itself: which outputs are early answers, and when they are trusted."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict, Field

from edgec.graph.model_note import ModelNote


class EarlyExit(BaseModel):
    """One early answer.

    Attributes:
        output: name of the output of the model; of the shape and meaning of its first output.
        source: name of the value that its layers read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    source: str


class ExitNote(ModelNote):
    """The early exits of a model, in order.

    Attributes:
        exits: the nearest to the inputs first.
        threshold: confidence, the largest probability of a class, from which an early answer is taken.
        probabilities: whether outputs are probabilities; else they are logits.
    """

    key: ClassVar[str] = "edgec.exits"

    exits: tuple[EarlyExit, ...] = Field(min_length=1)
    threshold: float = Field(gt=0, le=1)
    probabilities: bool


def without_exits(model: ir.Model, note: ExitNote | None) -> ir.Model:
    """A copy of a model whose early answers are no outputs."""
    whole = model.clone()
    early = {exit_.output for exit_ in note.exits} if note is not None else set()
    for value in [value for value in whole.graph.outputs if value.name in early]:
        whole.graph.outputs.remove(value)
    return whole
