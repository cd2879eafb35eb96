import io

import pytest
from report_samples import sample_report
from rich.console import Console, RenderableType
from syrupy.assertion import SnapshotAssertion

from edgec.core.metric import Mode, Unavailable
from edgec.report.content import pass_rows
from edgec.report.layer_table import layer_table
from edgec.report.markdown import write_markdown
from edgec.report.schema import Report
from edgec.report.terminal import TerminalReport


def printed(renderable: RenderableType, *, width: int = 80, terminal: bool = False) -> str:
    """What a console of that width shows; lines stripped at their right."""
    stream = io.StringIO()
    color = "truecolor" if terminal else None
    Console(file=stream, width=width, force_terminal=terminal, color_system=color, legacy_windows=False).print(
        renderable
    )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("mode", [Mode.MEASURED, Mode.PREDICTED, None])
@pytest.mark.parametrize("width", [80, 120])
def test_terminal(snapshot: SnapshotAssertion, mode: Mode | None, width: int) -> None:
    shown = printed(TerminalReport(sample_report(mode), largest_layers=5), width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown == snapshot


@pytest.mark.parametrize("mode", [Mode.MEASURED, Mode.PREDICTED, None])
def test_markdown(snapshot: SnapshotAssertion, mode: Mode | None) -> None:
    assert write_markdown(sample_report(mode), largest_layers=5) == snapshot


def test_a_pipe_gets_no_escape_and_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    report = TerminalReport(sample_report())
    assert "\x1b" not in printed(report)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32mmeasured" in printed(report, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in printed(report, terminal=True)


def test_predicted_values_look_different_from_measured_ones() -> None:
    measured, predicted = (printed(TerminalReport(sample_report(mode))) for mode in (Mode.MEASURED, Mode.PREDICTED))
    assert "~ 33.0 ms  29.3 ms … 39.5 ms  predicted" in predicted
    assert "~ 33.0 ms" not in measured


def test_a_metric_that_could_not_be_had_says_why() -> None:
    shown = printed(TerminalReport(sample_report(None)))
    assert "Latency: unavailable, no timing model for the core `cortex-m7`" in shown
    assert "Not verified. The artefact did not run: no emulator runs bare-metal" in shown
    assert "no timing model for the core" in write_markdown(sample_report(None))


def test_node_names_cannot_inject_escapes_or_markup() -> None:
    name = "[red]x[/red]\x1b[31m|`<img>"
    shown = printed(TerminalReport(sample_report(model_name=name)))
    assert "[red]x[/red]\\x1b[31m|`<img>" in shown
    heading = write_markdown(sample_report(model_name=name)).splitlines()[0]
    assert heading == r"# \[red\]x\[/red\]\\x1b\[31m\|\`\<img\> on host"


@pytest.mark.parametrize("mode", [Mode.MEASURED, None])
@pytest.mark.parametrize("largest", [None, 1, 5, 10, 11, 50])
def test_the_layer_table_adds_up(mode: Mode | None, largest: int | None) -> None:
    table = layer_table(sample_report(mode), largest=largest)
    assert table is not None
    for column in ("macs", "size", "share", *(["latency"] if mode else [])):
        cells = [getattr(row, column) for row in table.rows]
        parts = sum(round(float(cell.replace(",", "")) * 1000) for cell in cells if cell)
        assert parts == round(float(getattr(table.total, column).replace(",", "")) * 1000)
    assert sum(row.is_layer for row in table.rows) == min(11 if largest in (None, 10, 11, 50) else largest or 0, 11)


def test_time_between_layers_has_its_row() -> None:
    table = layer_table(sample_report(), largest=3)
    assert table is not None
    assert [row.name for row in table.rows][-2:] == ["8 others", "between layers"]
    assert table.rows[-1].latency == "0.400"
    assert "beyond the 100 µs that the meter accounts for: thread start and layout copies." in table.notes[0]


def test_kernels_that_miss_macs_of_the_model_are_reported() -> None:
    report = sample_report()
    layers = (report.layers[0].model_copy(update={"macs": 0}), *report.layers[1:])
    table = layer_table(Report.model_validate(dict(report) | {"layers": layers}))
    assert table is not None
    assert "60,650,752 MACs; the graph after the passes counts 71,488,768 (−15.2 %)" in table.notes[-1]


def test_a_report_without_layers_passes_or_memory() -> None:
    report = Report.model_validate(
        dict(sample_report(None)) | {"layers": (), "passes": (), "memory": Unavailable(unavailable="nothing was built")}
    )
    assert "unavailable: nothing was built" in printed(TerminalReport(report))
    assert "Unavailable: nothing was built" in write_markdown(report)


def test_macs_that_cannot_be_counted_yet_are_unknown_and_not_zero() -> None:
    report = sample_report()
    none = report.model.model_copy(update={"macs": 0})
    first = report.passes[0]
    unknown = first.model_copy(update={"after": first.after.model_copy(update={"macs": 0}), "before": first.after})
    report = Report.model_validate(dict(report) | {"model": none, "passes": (unknown, *report.passes[1:])})
    rows = pass_rows(report)
    assert [row.shown[0] for row in rows] == ["unknown", "unknown", "71.5 M"]
    assert "new" not in printed(TerminalReport(report))


def test_passes_that_changed_nothing_share_a_line() -> None:
    shown = printed(TerminalReport(sample_report()))
    assert "1 pass found nothing to change: merge-transposes." in shown
