"""Sample audits: a labelled classifier, one without labels, and a network that is no classifier."""

from __future__ import annotations

import numpy as np

from edgec.measure.audit import audit_answers, audit_errors, outcome, sample_error
from edgec.measure.audit_records import AnswerAudit, ErrorAudit
from edgec.measure.thumbnail import thumbnail

SOURCE = "ONNX Runtime on 300 evaluation samples"


def picture_of(index: int) -> str | None:
    """A gradient whose slope is the index."""
    ramp = np.arange(96, dtype=np.float32).reshape(1, 1, 8, 12)
    return thumbnail(ramp * (index + 1))


def answers(*, labelled: bool = True) -> AnswerAudit:
    """100 samples of each of 3 classes: 20 of class 2 become class 0, 3 of class 1 do, and 3 others are found."""
    outcomes = []
    for index in range(300):
        label, place = index % 3, index // 3
        before = after = np.eye(3, dtype=np.float32)[label]
        if (label == 2 and place < 20) or (label == 1 and place < 3):
            before = before * (1 + index / 100)
            after = np.eye(3, dtype=np.float32)[0]
        if label == 1 and 50 <= place < 53:
            before = np.eye(3, dtype=np.float32)[0]
        outcomes.append(outcome(index, label if labelled else None, before[None], after[None]))
    return audit_answers(outcomes, picture_of, SOURCE)


def errors() -> ErrorAudit:
    """Ten pictures, the last the farthest off, in pixels of 0 to 1."""
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    found = [sample_error(index, {"y": image}, {"y": image + np.float32(index / 100)}) for index in range(10)]
    return audit_errors(found, picture_of)
