"""What changed between the audits of two reports: how many samples keep their answer, and which classes suffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgec.measure.audit_records import AnswerAudit, ErrorAudit
from edgec.report import formatting
from edgec.report.diff_records import AuditChange, ReportDiff

_LABELS = {
    "samples": "samples",
    "agreement": "samples that keep their answer",
    "lost": "right before the passes, wrong after",
    "gained": "wrong before the passes, right after",
    "median_relative_error": "median error, of the range",
    "max_relative_error": "largest error, of the range",
}
_COUNTS = frozenset({"samples", "lost", "gained"})
_ERRORS = frozenset({"median_relative_error", "max_relative_error"})


@dataclass(frozen=True)
class AuditChangeRow:
    """A number of the audits, ready to print."""

    label: str
    before: str
    after: str


def audit_changes(
    before: AnswerAudit | ErrorAudit | None, after: AnswerAudit | ErrorAudit | None
) -> tuple[AuditChange, ...]:
    """Numbers that differ, those of the whole first, then classes in the order of the second report."""
    old, new = _whole(before), _whole(after)
    names = [name for name in _LABELS if old.get(name) != new.get(name)]
    whole = [AuditChange(name=name, before=old.get(name), after=new.get(name)) for name in names]
    kept, keep = _classes(before), _classes(after)
    classes = [
        AuditChange(name=name, before=kept[name], after=share)
        for name, share in keep.items()
        if name in kept and kept[name] != share
    ]
    return (*whole, *classes)


def audit_change_rows(diff: ReportDiff) -> tuple[AuditChangeRow, ...]:
    """The numbers of the audits that differ."""
    return tuple(
        AuditChangeRow(
            _label(change.name),
            _shown(change.name, change.before),
            _shown(change.name, change.after),
        )
        for change in diff.audit
    )


def _whole(audit: AnswerAudit | ErrorAudit | None) -> Mapping[str, float]:
    if audit is None:
        return {}
    if isinstance(audit, ErrorAudit):
        return {
            "samples": audit.samples,
            "median_relative_error": audit.median_relative_error,
            "max_relative_error": audit.max_relative_error,
        }
    found: dict[str, float] = {"samples": audit.samples, "agreement": audit.agreement.value}
    return found | ({"lost": audit.lost, "gained": audit.gained} if audit.labelled else {})


def _classes(audit: AnswerAudit | ErrorAudit | None) -> dict[str, float]:
    """The share of each class that is right after the passes; without labels, the share of each answer that is kept."""
    if not isinstance(audit, AnswerAudit):
        return {}
    return {f"{'class' if audit.labelled else 'answer'} {row.label}": row.after for row in audit.by_class}


def _label(name: str) -> str:
    return _LABELS.get(name, f"{name}, share {'right' if name.startswith('class') else 'kept'}")


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in _COUNTS:
        return f"{value:,.0f}"
    return formatting.scientific(value) if name in _ERRORS else formatting.percent(value)
