"""The audit in the report: what people read, in HTML, Markdown and on a terminal."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from audit_samples import answers, errors
from report_samples import sample_report
from rich.console import Console

from edgec.measure.audit_records import AnswerAudit, ErrorAudit
from edgec.report.audit_content import class_rows
from edgec.report.content import pass_rows
from edgec.report.diff import diff_reports
from edgec.report.files import load_report, write_json
from edgec.report.html import write_html
from edgec.report.markdown import write_markdown
from edgec.report.schema import Report
from edgec.report.sensitivity import layer_losses
from edgec.report.terminal import TerminalReport


def with_audit(audit: AnswerAudit | ErrorAudit | None) -> Report:
    return Report.model_validate(dict(sample_report()) | {"audit": audit})


def with_sensitivity() -> Report:
    report = sample_report()
    stats = {"layers": 3, **{f"signal to noise with {name} alone": f"{ratio} dB" for name, ratio in RATIOS.items()}}
    record = report.passes[1].model_copy(update={"stats": stats})
    return Report.model_validate(dict(report) | {"passes": (report.passes[0], record)})


RATIOS = {"head/conv": "31.4", "a <b> alone": "-2.5", "stem": "inf"}


def prose(page: bytes) -> str:
    parser = HTMLParser()
    pieces: list[str] = []
    parser.handle_data = pieces.append  # type: ignore[method-assign]
    parser.feed(page.decode())
    return re.sub(r"\s+", " ", " ".join(pieces))


def on_terminal(report: Report, width: int = 80) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream, legacy_windows=False).print(TerminalReport(report))
    return stream.getvalue()


def everywhere(report: Report) -> tuple[str, ...]:
    """All renderings on one line each."""
    shown = (prose(write_html(report)), write_markdown(report), on_terminal(report))
    return tuple(re.sub(r"\s+", " ", text) for text in shown)


def test_every_rendering_says_what_was_lost_and_where() -> None:
    report = with_audit(answers())
    for shown in everywhere(report):
        assert "274 of 300 evaluation samples keep their answer: 91.3 %" in shown
        assert "23 were right and are wrong now, 3 were wrong and are right now: accuracy fell, by more than" in shown
        assert "1 of 3 classes lost more than chance explains: 2." in shown


def test_the_worst_hit_class_comes_first() -> None:
    rows = class_rows(with_audit(answers()))
    assert [(row.label, row.change, row.lost, row.gained) for row in rows] == [
        ("2", "−20.0", "20", "0"),
        ("0", "0", "0", "0"),
        ("1", "0", "3", "3"),
    ]
    assert [row.verdict for row in rows] == ["lost", "", ""]


def test_the_page_shows_the_samples_as_pictures_and_needs_no_network() -> None:
    page = write_html(with_audit(answers())).decode()
    pictures = re.findall(r'<img alt="sample (\d+)" src="data:image/png;base64,([^"]+)">', page)
    assert len(pictures) == page.count("<img") == 24
    assert pictures[0][0] == "59"  # the lost sample that the original was surest of
    assert all(base64.b64decode(content).startswith(b"\x89PNG") for _, content in pictures)
    assert "://" not in page
    assert "24 of the 26 samples whose answer changed" in page


def test_without_labels_it_speaks_of_agreement_only() -> None:
    report = with_audit(answers(labelled=False))
    for shown in everywhere(report):
        assert "274 of 300 evaluation samples keep their answer" in shown
        assert "nobody knows which of the answers are right" in shown
        assert "McNemar" not in shown


def test_a_network_that_is_no_classifier_shows_its_largest_errors() -> None:
    report = with_audit(errors())
    for shown in everywhere(report):
        assert "of the range of their output, the worst by 9.0e-2" in shown
        assert shown.index("sample 9") < shown.index("sample 8")


def test_a_report_with_an_audit_survives_its_file(tmp_path: Path) -> None:
    for audit in (answers(), answers(labelled=False), errors(), None):
        report = with_audit(audit)
        (tmp_path / "report.json").write_bytes(write_json(report))
        assert load_report(tmp_path) == report


def test_reports_with_and_without_an_audit_can_be_compared() -> None:
    difference = diff_reports(with_audit(None), with_audit(answers()))
    assert not difference.metrics or all(change.before == change.after for change in difference.metrics)


def test_a_report_without_an_audit_has_no_section() -> None:
    report = sample_report()
    assert 'id="fidelity"' not in write_html(report).decode()
    assert "Fidelity" not in write_markdown(report)
    assert "Fidelity" not in on_terminal(report)


def test_layers_that_lose_most_have_a_table_instead_of_a_crowded_cell() -> None:
    report = with_sensitivity()
    assert [(row.layer, row.text) for row in layer_losses(report)] == [
        ("a <b> alone", "−2.5 dB"),
        ("head/conv", "31.4 dB"),
        ("stem", "no loss"),
    ]
    assert all("signal to noise with" not in row.stats for row in pass_rows(report))
    assert "a <b>" not in write_html(report).decode()
    for shown in everywhere(report):
        assert shown.index("a <b> alone") < shown.index("31.4 dB") < shown.index("no loss")


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_is_not_overrun(width: int) -> None:
    for audit in (answers(), errors()):
        assert max(len(line.rstrip()) for line in on_terminal(with_audit(audit), width).splitlines()) <= width
