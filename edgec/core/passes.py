"""The contract of a pass: what it declares, what it is given, what it returns.

A pass is a class; its docstring states its cases and the source of its algorithm. Passes are found by the
entry-point group `edgec.passes`, so a third party ships one in the same way as we do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.core.data import DataSource
from edgec.core.progress import Progress, Silent
from edgec.core.target import Target
from edgec.core.tensor import Sample


class Kind(StrEnum):
    """What a pass promises about the outputs of the model; decides what the gate demands."""

    EXACT = "exact"
    BINARY_EXACT = "binary-exact"
    LOSSY = "lossy"
    TRAINED = "trained"


class Need(StrEnum):
    """Data that a pass cannot work without."""

    CALIBRATION = "calibration"
    TRAINING = "training"
    EVALUATION = "evaluation"


class PassOptions(BaseModel):
    """Base of the options of a pass: frozen, validated, no unknown keys; every field has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Skip:
    """A node that a pass left alone, and why."""

    node: str
    reason: str


@dataclass(frozen=True)
class PassContext:
    """What the pipeline hands to a pass.

    Attributes:
        target: the device that the model is compiled for; None in `analyze`.
        calibration: samples for passes that declare `Need.CALIBRATION`; may be empty otherwise.
        data: what `--data` names, for passes that declare `Need.TRAINING` or `Need.EVALUATION`; None without data.
        seed: seed of every random choice.
        progress: where to report long work.
        original: the model before the first pass that may change its outputs, which later ones can learn from; None if
            there has been no such pass.
    """

    target: Target | None = None
    calibration: Iterable[Sample] = ()
    data: DataSource | None = None
    seed: int = 0
    progress: Progress = field(default_factory=Silent)
    original: ir.Model | None = None


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        model: the model after the pass; may be the object that was handed in, changed in place.
        modified: whether anything changed.
        stats: counts worth showing, by name (`{"folded": 12}`).
        skipped: nodes left alone although the pass is meant for their kind, with the reason.
        assumptions: what the pass decided for the user ("batch of `input` set to 1"); shown in the report.
    """

    model: ir.Model
    modified: bool
    stats: Mapping[str, int | float | str] = field(default_factory=dict)
    skipped: tuple[Skip, ...] = ()
    assumptions: tuple[str, ...] = ()


class Pass(ABC):
    """One step of the pipeline.

    A pass may change the model it is handed in place: the pipeline keeps a copy for its gate. It raises
    `EdgecError` for a model it must refuse and returns a `Skip` for each node it leaves alone.

    Attributes:
        adds_outputs: whether the model may have outputs after the pass that it had not before; the others stay.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    needs: ClassVar[tuple[Need, ...]] = ()
    adds_outputs: ClassVar[bool] = False
    Options: ClassVar[type[PassOptions]] = PassOptions

    def __init__(self, options: PassOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Transform the model."""
