"""What every rendering says of the audit: sentences, classes, examples."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.graph.fidelity import WORST
from edgec.measure.audit_records import Answer, AnswerAudit, Change, ChangedSample, ClassChange, ErrorAudit, SampleError
from edgec.report import formatting
from edgec.report.schema import Report

SIGNIFICANT = 0.05
"""p-value below which a difference counts as more than chance."""

MOST_NAMED = 12
"""Classes that a sentence names."""

_NOW = {
    Change.LOST: "right, now wrong",
    Change.STILL_WRONG: "wrong either way",
    Change.GAINED: "wrong, now right",
    Change.UNLABELLED: "changed",
}


@dataclass(frozen=True)
class ClassRow:
    """A class before and after, as cells.

    Attributes:
        label: its number.
        samples: of this class.
        before: share that was right.
        after: share that is right; without labels, that kept its answer.
        change: in percentage points.
        lost: right, and now wrong.
        gained: wrong, and now right.
        chance: the corrected p-value; empty without labels.
        verdict: `lost` or `gained` where the class changed by more than chance explains; else empty.
    """

    label: str
    samples: str
    before: str
    after: str
    change: str
    lost: str
    gained: str
    chance: str
    verdict: str


@dataclass(frozen=True)
class ExampleCard:
    """A sample whose output changed.

    Attributes:
        title: `sample 1,234`.
        lines: what it is and was taken for, each line on its own.
        change: what became of the answer, in words; empty for a network that is no classifier.
        kind: of the change, to colour it.
        picture: PNG in Base64; None where the input is no picture.
    """

    title: str
    lines: tuple[str, ...]
    change: str
    kind: str
    picture: str | None


def audit_sentences(report: Report) -> tuple[str, ...]:
    """The audit in words; empty if the report has none."""
    audit = report.audit
    if audit is None:
        return ()
    return _errors_in_words(audit) if isinstance(audit, ErrorAudit) else _answers_in_words(audit)


def class_rows(report: Report, most: int | None = None) -> tuple[ClassRow, ...]:
    """Classes, the worst hit first; empty if the report has none."""
    return tuple(map(_class_row, report.audit.by_class[:most])) if isinstance(report.audit, AnswerAudit) else ()


def other_classes(report: Report, shown: int) -> str:
    """How many classes have no row, in a sentence; empty if none."""
    left = report.audit.classes - shown if isinstance(report.audit, AnswerAudit) else 0
    if left <= 0:
        return ""
    return f"{left:,} more {'class' if left == 1 else 'classes'} lost less, or nothing."


def example_cards(report: Report, most: int | None = None) -> tuple[ExampleCard, ...]:
    """Samples whose answer or output changed, those that matter most first."""
    audit = report.audit
    if audit is None:
        return ()
    if isinstance(audit, ErrorAudit):
        return tuple(map(_error_card, audit.examples[:most]))
    return tuple(map(_answer_card, audit.examples[:most]))


def examples_heading(report: Report) -> str:
    """What the examples are; empty if there are none."""
    audit = report.audit
    if audit is None or not audit.examples:
        return ""
    if isinstance(audit, ErrorAudit):
        return (
            f"The {len(audit.examples)} samples that moved most" if len(audit.examples) > 1 else "A sample that moved"
        )
    if audit.changed == len(audit.examples):
        return "Every sample whose answer changed"
    return f"{len(audit.examples)} of the {audit.changed:,} samples whose answer changed"


def _answers_in_words(audit: AnswerAudit) -> tuple[str, ...]:
    share = audit.agreement
    kept = (
        f"{audit.samples - audit.changed:,} of {audit.samples:,} evaluation samples keep their answer: "
        f"{formatting.percent(share.value)}, with 95 % confidence {formatting.percent(share.low)} to "
        f"{formatting.percent(share.high)}."
    )
    if not audit.labelled or audit.p_value is None:
        return kept, (
            "The data has no class labels, so nobody knows which of the answers are right, nor whether the first "
            "output ranks classes: of an embedding or of coordinates only the error says something."
        )
    balance = f"{audit.lost:,} were right and are wrong now, {audit.gained:,} were wrong and are right now"
    if audit.lost == audit.gained:
        verdict = "accuracy is the same."
    else:
        way = "fell" if audit.lost > audit.gained else "rose"
        more = "by more than" if audit.p_value < SIGNIFICANT else "but not by more than"
        verdict = f"accuracy {way}, {more} chance explains (McNemar's exact test, p {_probability(audit.p_value)})."
    return kept, f"{balance}: {verdict}", _classes_in_words(audit)


def _classes_in_words(audit: AnswerAudit) -> str:
    hit = [str(row.label) for row in audit.by_class if _verdict(row) == "lost"]
    classes = "the only class" if audit.classes == 1 else f"{len(hit)} of {audit.classes:,} classes"
    if not hit:
        return "No class lost more than chance explains, by the same test corrected for the number of classes."
    named = ", ".join(hit[:MOST_NAMED]) + (f" and {len(hit) - MOST_NAMED:,} more" if len(hit) > MOST_NAMED else "")
    return f"By the same test, corrected for their number, {classes} lost more than chance explains: {named}."


def _errors_in_words(audit: ErrorAudit) -> tuple[str, ...]:
    return (
        f"The first output does not rank classes, so errors are compared. Of {audit.samples:,} evaluation samples, "
        f"half moved by no more than {_error(audit.median_relative_error)} of the range of their output, the worst by "
        f"{_error(audit.max_relative_error)}.",
    )


def _class_row(row: ClassChange) -> ClassRow:
    points = 100 * (row.after - row.before)
    return ClassRow(
        label=str(row.label),
        samples=f"{row.samples:,}",
        before=formatting.percent(row.before),
        after=formatting.percent(row.after),
        change="0" if row.after == row.before else f"{points:+.1f}".replace("-", "−"),
        lost=f"{row.lost:,}",
        gained=f"{row.gained:,}",
        chance="" if row.p_value is None else _probability(row.p_value).removeprefix("= "),
        verdict=_verdict(row),
    )


def _verdict(row: ClassChange) -> str:
    if row.p_value is None or row.p_value >= SIGNIFICANT:
        return ""
    return "lost" if row.lost > row.gained else "gained"


def _answer_card(sample: ChangedSample) -> ExampleCard:
    label = () if sample.label is None else (f"label {sample.label}",)
    return ExampleCard(
        title=f"sample {sample.index:,}",
        lines=(*label, f"before {_scored(sample.before)}", f"now {_scored(sample.after)}"),
        change=_NOW[sample.change],
        kind=sample.change.name.lower(),
        picture=sample.picture,
    )


def _error_card(sample: SampleError) -> ExampleCard:
    lines = (f"{_error(sample.max_relative_error)} of the range", f"{_error(sample.max_abs_error)} absolute")
    return ExampleCard(title=f"sample {sample.index:,}", lines=lines, change="", kind="error", picture=sample.picture)


def _scored(answer: Answer) -> str:
    score = "not finite" if answer.score is None else formatting.significant(answer.score).replace("-", "−")
    return f"{answer.answer} ({score})"


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _error(value: float) -> str:
    return "infinity" if value >= WORST else formatting.scientific(value)
