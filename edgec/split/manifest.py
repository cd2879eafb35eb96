"""What a split network consists of: the file `split.json` that both ends hold."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgec.core.codes.split import NOT_A_SPLIT
from edgec.core.errors import EdgecError
from edgec.core.small_file import read_small_file
from edgec.core.tensor import TensorSpec
from edgec.split.frequency_tables import FrequencyTables

FILE = "split.json"
IDENTITY_BYTES = 16


class EarlyAnswer(BaseModel):
    """An output of the head that answers like the whole network, less well.

    Attributes:
        output: its name; it stands for the first of the tensors that the tail returns, its only one.
        threshold: confidence, the largest probability of a class, from which nothing is sent.
        probabilities: whether the output holds probabilities; else logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    threshold: float = Field(gt=0, le=1)
    probabilities: bool


class SplitManifest(BaseModel):
    """One network in two parts.

    Attributes:
        cut: names of the values at which the network is cut.
        sent: what the head makes and the tail takes, in the order in which it travels.
        returned: what the tail makes, in the order in which it travels back.
        tables: frequencies of the symbols of the only tensor sent, int8 [1, channels, …], where it is entropy-coded;
            absent where tensors travel as they are.
        tail_sha256: digest of the tail's ONNX file.
        head: folder of the head's artefact; relative like all paths here.
        tail: the tail's ONNX file.
        local: folder of an artefact of the whole network for the device, for when the link is down; absent without one.
        early: an early answer of the head; absent without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_name: Literal["edgec-split/1"] = Field("edgec-split/1", alias="schema")
    cut: tuple[str, ...]
    sent: tuple[TensorSpec, ...] = Field(min_length=1)
    returned: tuple[TensorSpec, ...] = Field(min_length=1)
    tables: FrequencyTables | None = None
    tail_sha256: str
    head: str = "head"
    tail: str = "tail/model.onnx"
    local: str | None = None
    early: EarlyAnswer | None = None

    @model_validator(mode="after")
    def _tables_fit(self) -> Self:
        if self.tables is None:
            return self
        spec = self.sent[0]
        if len(self.sent) > 1 or spec.dtype != "int8" or spec.shape[:1] != (1,) or not self.tables.fits(spec.shape[1:]):
            raise ValueError("entropy coding needs one int8 tensor [1, channels, …] that its tables are made for")
        return self

    @property
    def identity(self) -> bytes:
        """What both ends compare before they trust each other's tensors: 16 bytes of a digest over what travels."""
        parts = self.model_dump_json(include={"cut", "sent", "returned", "tables", "tail_sha256"})
        return hashlib.sha256(parts.encode()).digest()[:IDENTITY_BYTES]

    @property
    def sent_bytes(self) -> int:
        """Size of what the head makes before entropy coding, in bytes."""
        return sum(spec.size_bytes for spec in self.sent)

    @property
    def returned_bytes(self) -> int:
        """Size of what the tail makes, in bytes."""
        return sum(spec.size_bytes for spec in self.returned)


def read_split(folder: Path) -> SplitManifest:
    """The manifest of a split network's folder.

    Raises:
        EdgecError: EC1203 where there is none, or it is not valid.
    """
    path = folder / FILE
    try:
        return SplitManifest.model_validate_json(read_small_file(path))
    except OSError as error:
        raise EdgecError(NOT_A_SPLIT, f"{error.strerror}", where=str(path), hint=NOT_A_SPLIT.remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
        raise EdgecError(NOT_A_SPLIT, what, where=str(path), hint=NOT_A_SPLIT.remedy) from error
