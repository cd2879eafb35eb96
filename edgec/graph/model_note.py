"""Notes that a model carries about itself, in its metadata, so that every later pass and a saved file hold them."""

from __future__ import annotations

from typing import ClassVar, Self

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict, ValidationError

from edgec.core.codes.model import CUT_NOT_FOUND
from edgec.core.errors import EdgecError


class ModelNote(BaseModel):
    """A kind of note; a model has one of each kind at most.

    Attributes:
        key: of the metadata.
        instead: what a user may do about a damaged note, beside removing it; empty if nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ClassVar[str]
    instead: ClassVar[str] = ""

    def write(self, model: ir.Model) -> None:
        """Put the note into a model, in place."""
        model.metadata_props[self.key] = self.model_dump_json()

    @classmethod
    def read(cls, model: ir.Model) -> Self | None:
        """The note of a model; None where it has none.

        Raises:
            EdgecError: EC0212 where it is damaged.
        """
        text = model.metadata_props.get(cls.key)
        if text is None:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            what = f"its metadata `{cls.key}` are damaged: {error.errors()[0]['msg']}"
            raise EdgecError(CUT_NOT_FOUND, what, hint=f"remove the metadata{cls.instead}") from error
