"""What a model with early exits says about itself: which outputs are early answers, and when they are trusted."""

from __future__ import annotations

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgec.core.codes.model import CUT_NOT_FOUND
from edgec.core.errors import EdgecError

_KEY = "edgec.exits"


class EarlyExit(BaseModel):
    """One early answer.

    Attributes:
        output: name of the output of the model; of the shape and meaning of its first output.
        source: name of the value that its layers read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    source: str


class ExitNote(BaseModel):
    """The early exits of a model, in order, kept in its metadata.

    Attributes:
        exits: the nearest to the inputs first.
        threshold: confidence, the largest probability of a class, from which an early answer is taken.
        probabilities: whether outputs are probabilities; else they are logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exits: tuple[EarlyExit, ...] = Field(min_length=1)
    threshold: float = Field(gt=0, le=1)
    probabilities: bool


def write_exits(model: ir.Model, note: ExitNote) -> None:
    """Put a note into a model, in place."""
    model.metadata_props[_KEY] = note.model_dump_json()


def read_exits(model: ir.Model) -> ExitNote | None:
    """The note of a model; None where it has none.

    Raises:
        EdgecError: EC0212 where it is damaged.
    """
    text = model.metadata_props.get(_KEY)
    if text is None:
        return None
    try:
        return ExitNote.model_validate_json(text)
    except ValidationError as error:
        what = f"its metadata `{_KEY}` are damaged: {error.errors()[0]['msg']}"
        raise EdgecError(CUT_NOT_FOUND, what, hint="remove the metadata") from error


def without_exits(model: ir.Model, note: ExitNote | None) -> ir.Model:
    """A copy of a model whose early answers are no outputs."""
    whole = model.clone()
    early = {exit_.output for exit_ in note.exits} if note is not None else set()
    for value in [value for value in whole.graph.outputs if value.name in early]:
        whole.graph.outputs.remove(value)
    return whole
