"""What a model with a bottleneck says about itself: which value travels, and how often each symbol of it occurs."""

from __future__ import annotations

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgec.core.codes.model import CUT_NOT_FOUND
from edgec.core.errors import EdgecError

_KEY = "edgec.bottleneck"


class BottleneckNote(BaseModel):
    """Where to cut a model, kept in its metadata so that every later pass and a saved file hold it.

    Attributes:
        value: name of the tensor that travels.
        lowest: the symbol that the first count of a channel is of.
        counts: for each channel how often each symbol is expected, in any common unit; empty where they are to be
            counted on samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    lowest: int = Field(default=-128, ge=-128, le=127)
    counts: tuple[tuple[int, ...], ...] = ()


def write_note(model: ir.Model, note: BottleneckNote) -> None:
    """Put a note into a model, in place."""
    model.metadata_props[_KEY] = note.model_dump_json()


def read_note(model: ir.Model) -> BottleneckNote | None:
    """The note of a model; None where it has none.

    Raises:
        EdgecError: EC0212 where it is damaged.
    """
    text = model.metadata_props.get(_KEY)
    if text is None:
        return None
    try:
        return BottleneckNote.model_validate_json(text)
    except ValidationError as error:
        what = f"its metadata `{_KEY}` are damaged: {error.errors()[0]['msg']}"
        raise EdgecError(CUT_NOT_FOUND, what, hint="remove the metadata, or name the values with --cut") from error
