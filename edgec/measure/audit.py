"""What passes cost a network, sample by sample: which classes, which answers, which outputs.

A small loss of accuracy may hide that a few classes carry all of it (Hooker, Courville, Clark, Dauphin and Frome 2019,
What do compressed deep neural networks forget?). So the audit tests every class, and shows the samples whose answer
changed: the paper's pruning identified exemplars, here for one pair of networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.core.metric import Value
from edgec.graph.fidelity import WORST, compare
from edgec.measure.audit_records import (
    Answer,
    AnswerAudit,
    Change,
    ChangedSample,
    ClassChange,
    ErrorAudit,
    SampleError,
)
from edgec.measure.significance import corrected, paired_p_value, share_with_interval

MOST_CLASSES = 100
"""Rows of an audit by class."""

MOST_EXAMPLES = 24
"""Samples that an audit shows."""

_ORDER = (Change.LOST, Change.UNLABELLED, Change.STILL_WRONG, Change.GAINED)

PictureOf = Callable[[int], str | None]
"""The picture of the sample with that index in the evaluation data."""


@dataclass(frozen=True)
class Outcome:
    """What two models say about one sample.

    Attributes:
        sample: label and both answers.
        preference: by how much the original scores its own answer above the one after the passes.
    """

    sample: ChangedSample
    preference: float

    @property
    def is_changed(self) -> bool:
        """Whether the answers differ."""
        return self.sample.before.answer != self.sample.after.answer


def ranks_classes(scores: np.ndarray) -> bool:
    """Whether an output may be one score for each class: real numbers along a single axis; so may be an embedding."""
    return scores.dtype.kind == "f" and along_one_axis(scores)


def along_one_axis(scores: np.ndarray) -> bool:
    """Whether an output has several elements, all along one axis, so that the largest of them is an answer."""
    return scores.size > 1 and max(scores.shape) == scores.size


def outcome(index: int, label: int | None, before: np.ndarray, after: np.ndarray) -> Outcome:
    """Both models' answers to one sample.

    Args:
        index: of the sample in the evaluation data.
        label: its class, if known.
        before: scores of the original, any shape; the answer is the index of the largest.
        after: scores after the passes.
    """
    first, second = _answer(before), _answer(after)
    scores = np.ravel(before).astype(np.float64)
    gap = scores[first.answer] - scores[second.answer] if second.answer < scores.size else 0.0
    return Outcome(
        ChangedSample(index=index, label=label, before=first, after=second),
        float(np.nan_to_num(gap, nan=0.0, posinf=WORST, neginf=0.0)),
    )


def accuracies(outcomes: Sequence[Outcome], source: str) -> tuple[Value, Value]:
    """Share of labelled samples that the original gets right, and the same after the passes."""
    samples = [each.sample for each in outcomes]
    before = sum(sample.before.answer == sample.label for sample in samples)
    after = sum(sample.after.answer == sample.label for sample in samples)
    return share_with_interval(before, len(samples), source), share_with_interval(after, len(samples), source)


def audit_answers(outcomes: Sequence[Outcome], picture_of: PictureOf, source: str) -> AnswerAudit:
    """The audit of a classifier; either every sample has a label or none has."""
    changed = [each for each in outcomes if each.is_changed]
    counts = _counts(changed)
    labelled = outcomes[0].sample.label is not None
    by_class = _by_class(outcomes)
    examples = sorted(changed, key=lambda each: (_ORDER.index(each.sample.change), -each.preference))[:MOST_EXAMPLES]
    return AnswerAudit(
        samples=len(outcomes),
        labelled=labelled,
        agreement=share_with_interval(len(outcomes) - len(changed), len(outcomes), source),
        changed=len(changed),
        lost=counts[Change.LOST],
        gained=counts[Change.GAINED],
        p_value=paired_p_value(counts[Change.LOST], counts[Change.GAINED]) if labelled else None,
        classes=len(by_class),
        by_class=by_class[:MOST_CLASSES],
        examples=tuple(each.sample.model_copy(update={"picture": picture_of(each.sample.index)}) for each in examples),
    )


def sample_error(index: int, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> SampleError:
    """How far all outputs of one sample moved.

    Raises:
        EdgecError: EC0210 where names or shapes of outputs differ.
    """
    fidelity = compare([before], [after])
    return SampleError(
        index=index, max_abs_error=fidelity.max_abs_error, max_relative_error=fidelity.max_relative_error
    )


def audit_errors(errors: Sequence[SampleError], picture_of: PictureOf) -> ErrorAudit:
    """The audit of a network that is no classifier."""
    worst = sorted(errors, key=lambda each: -each.max_relative_error)
    examples = [each for each in worst[:MOST_EXAMPLES] if each.max_relative_error > 0]
    return ErrorAudit(
        samples=len(errors),
        median_relative_error=worst[len(worst) // 2].max_relative_error,
        max_relative_error=worst[0].max_relative_error,
        examples=tuple(each.model_copy(update={"picture": picture_of(each.index)}) for each in examples),
    )


def _answer(scores: np.ndarray) -> Answer:
    flat = np.ravel(scores)
    place = int(np.argmax(flat))
    score = float(flat[place])
    return Answer(answer=place, score=score if np.isfinite(score) else None)


def _counts(changed: Sequence[Outcome]) -> dict[Change, int]:
    kinds = [each.sample.change for each in changed]
    return {kind: kinds.count(kind) for kind in Change}


def _by_class(outcomes: Sequence[Outcome]) -> tuple[ClassChange, ...]:
    """Every class that occurs, the one that lost the largest share first."""
    members: dict[int, list[Outcome]] = {}
    for each in outcomes:
        sample = each.sample
        members.setdefault(sample.before.answer if sample.label is None else sample.label, []).append(each)
    rows = [_class_change(label, found) for label, found in members.items()]
    if outcomes[0].sample.label is not None:
        p_values = corrected([paired_p_value(row.lost, row.gained) for row in rows])
        rows = [row.model_copy(update={"p_value": p}) for row, p in zip(rows, p_values, strict=True)]
    return tuple(sorted(rows, key=lambda row: (row.after - row.before, -row.samples, row.label)))


def _class_change(label: int, members: Sequence[Outcome]) -> ClassChange:
    right_before = sum(each.sample.before.answer == label for each in members)
    right_after = sum(each.sample.after.answer == label for each in members)
    lost = sum(each.is_changed and each.sample.before.answer == label for each in members)
    return ClassChange(
        label=label,
        samples=len(members),
        before=right_before / len(members),
        after=right_after / len(members),
        lost=lost,
        gained=right_after - right_before + lost,
        p_value=None,
    )
