"""The audit of what the passes did to a network's outputs on evaluation data; part of the report as it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgec.core.metric import Value


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(StrEnum):
    """What became of an answer: right and now wrong, wrong either way, wrong and now right, or nobody knows."""

    LOST = "lost"
    STILL_WRONG = "still wrong"
    GAINED = "gained"
    UNLABELLED = "unlabelled"


class Answer(_Record):
    """The class of the largest score, and that score; no score where it is not finite."""

    answer: int = Field(ge=0)
    score: float | None


class ChangedSample(_Record):
    """A sample that the two models answer differently.

    Attributes:
        index: its place in the evaluation data, from 0.
        label: the right answer; absent where the data has none.
        before: answer of the model as it was given.
        after: answer of the model after the passes.
        picture: the first input as PNG in Base64, scaled by its own range; absent where it is no picture.
    """

    index: int = Field(ge=0)
    label: int | None
    before: Answer
    after: Answer
    picture: str | None = None

    @property
    def change(self) -> Change:
        """What became of the answer."""
        if self.label is None:
            return Change.UNLABELLED
        if self.before.answer == self.label:
            return Change.LOST
        return Change.GAINED if self.after.answer == self.label else Change.STILL_WRONG


class ClassChange(_Record):
    """One class before and after.

    Attributes:
        label: the class; for data without labels, the answer of the model as it was given.
        samples: of this class.
        before: share that the model as it was given gets right; 1 without labels.
        after: share that the model after the passes gets right; without labels, share that keeps its answer.
        lost: samples that were right and are wrong.
        gained: samples that were wrong and are right.
        p_value: of McNemar's exact test, after Holm's correction for the number of classes; absent without labels.
    """

    label: int
    samples: int = Field(ge=1)
    before: float = Field(ge=0, le=1)
    after: float = Field(ge=0, le=1)
    lost: int = Field(ge=0)
    gained: int = Field(ge=0)
    p_value: float | None = Field(ge=0, le=1)


class AnswerAudit(_Record):
    """The answers of a classifier before and after the passes.

    Attributes:
        kind: tells the two kinds of audit apart.
        samples: that were compared.
        labelled: whether they have labels.
        agreement: share with the same answer, with its 95 % interval.
        changed: samples with another answer.
        lost: of those, the ones that were right and are wrong; 0 without labels.
        gained: of those, the ones that were wrong and are right; 0 without labels.
        p_value: of McNemar's exact test on all samples; absent without labels.
        classes: classes that occur.
        by_class: the worst hit first, at most as many as `edgec.measure.audit.MOST_CLASSES`.
        examples: changed samples, lost ones first, at most as many as `edgec.measure.audit.MOST_EXAMPLES`.
    """

    kind: Literal["answers"] = "answers"
    samples: int = Field(ge=1)
    labelled: bool
    agreement: Value
    changed: int = Field(ge=0)
    lost: int = Field(ge=0)
    gained: int = Field(ge=0)
    p_value: float | None = Field(ge=0, le=1)
    classes: int = Field(ge=1)
    by_class: tuple[ClassChange, ...]
    examples: tuple[ChangedSample, ...]


class SampleError(_Record):
    """How far the outputs of one sample moved.

    Attributes:
        index: its place in the evaluation data, from 0.
        max_abs_error: largest absolute difference over all outputs.
        max_relative_error: largest absolute difference over the range of the original's output for this sample.
        picture: as in `ChangedSample`.
    """

    index: int = Field(ge=0)
    max_abs_error: float = Field(ge=0)
    max_relative_error: float = Field(ge=0)
    picture: str | None = None


class ErrorAudit(_Record):
    """The outputs of a network that is no classifier, before and after the passes.

    Attributes:
        kind: tells the two kinds of audit apart.
        samples: that were compared.
        median_relative_error: half of the samples have a smaller `max_relative_error`.
        max_relative_error: largest of all samples.
        examples: samples with the largest errors, the worst first.
    """

    kind: Literal["errors"] = "errors"
    samples: int = Field(ge=1)
    median_relative_error: float = Field(ge=0)
    max_relative_error: float = Field(ge=0)
    examples: tuple[SampleError, ...]
