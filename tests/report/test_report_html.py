import re
from html.parser import HTMLParser

import pytest
from report_samples import sample_report

from edgec.core.metric import Mode, Unavailable
from edgec.report.html import write_html
from edgec.report.schema import Report, reconcile, with_shares

VOID = {"meta", "input", "br", "hr", "img", "link", "rect", "line"}
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>`\u202e"


class Page(HTMLParser):
    """Collects what the tests look at, and checks that tags nest."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)

    @property
    def prose(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def large_report(layers: int) -> Report:
    """A report with many layers, long names and many skipped nodes."""
    report = sample_report(Mode.PREDICTED)
    many = tuple(
        report.layers[index % len(report.layers)].model_copy(
            update={"name": f"backbone/stage{index % 7}/block{index}/conv_{index}", "share": None}
        )
        for index in range(layers)
    )
    record = report.passes[1]
    skipped = tuple(
        record.skipped[0].model_copy(update={"node": f"backbone/block{index}/bn"}) for index in range(layers)
    )
    latency = report.metrics.latency_ms
    assert not isinstance(latency, Unavailable)
    total = sum(layer.latency_ms.value for layer in many if not isinstance(layer.latency_ms, Unavailable))
    latency = latency.model_copy(update={"value": total, "low": total * 0.5, "high": total * 2})
    return Report.model_validate(
        dict(report)
        | {
            "layers": with_shares(latency, many),
            "metrics": report.metrics.model_copy(update={"latency_ms": latency}),
            "reconciliation": reconcile(latency, many),
            "passes": (report.passes[0], record.model_copy(update={"skipped": skipped})),
        }
    )


@pytest.mark.parametrize("mode", [Mode.MEASURED, Mode.SIMULATED, Mode.PREDICTED, None])
def test_the_page_is_well_formed_and_complete(mode: Mode | None) -> None:
    page = Page(write_html(sample_report(mode)))
    for section in ("Totals", "Passes", "Skipped nodes", "Memory by owner", "Fallbacks", "Layers", "All metrics"):
        assert section in page.prose
    assert page.count("caption") == page.count("table")
    assert page.count("h1") == 1
    for tag, attributes in page.tags:
        if tag == "th":
            assert attributes.get("scope") in {"row", "col"}
        if tag == "svg":
            assert "aria-label" in attributes or attributes.get("aria-hidden") == "true"
    assert "its input neck/conv is also read by neck/add" in page.prose
    assert "batch of input set to 1" in page.prose


def test_the_page_needs_no_network() -> None:
    content = write_html(sample_report()).decode()
    assert "://" not in content
    assert "default-src 'none'" in content
    page = Page(content.encode())
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "base"}
        assert "src" not in attributes
        assert str(attributes.get("href", "#")).startswith("#")


def test_hostile_names_stay_text() -> None:
    report = sample_report(model_name=HOSTILE)
    layers = tuple(layer.model_copy(update={"name": HOSTILE, "nodes": (HOSTILE, "x")}) for layer in report.layers)
    fallback = report.fallbacks[0].model_copy(update={"node": HOSTILE, "reason": HOSTILE, "hint": HOSTILE})
    record = report.passes[1]
    skip = record.skipped[0].model_copy(update={"node": HOSTILE, "reason": HOSTILE})
    report = Report.model_validate(
        dict(report)
        | {
            "layers": layers,
            "fallbacks": (fallback,),
            "passes": (record.model_copy(update={"name": HOSTILE, "skipped": (skip,), "stats": {HOSTILE: HOSTILE}}),),
            "assumptions": (HOSTILE,),
        }
    )
    page = Page(write_html(report))
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>`\\u202e" in page.prose


def test_a_thousand_layers_fit_into_a_megabyte() -> None:
    content = write_html(large_report(1000))
    assert len(content) < 1_000_000
    assert Page(content).prose.count("backbone/stage") == 1000


def test_the_layer_table_of_the_page_adds_up() -> None:
    content = write_html(sample_report()).decode()
    table = content[content.index('id="layer-table"') :]
    table = table[: table.index("</table>")]
    rows = [re.findall(r'<td class="n">([^<]*)</td>', row) for row in table.split("<tr")[2:]]
    *parts, total = [[float(cell.replace(",", "")) for cell in row if cell] for row in rows]
    times = [row[1] if len(row) == 5 else row[0] for row in parts]
    assert sum(times) == pytest.approx(total[0], abs=1e-9)
    assert "between layers" in table


def test_measured_and_predicted_differ_at_sight() -> None:
    measured, predicted = (Page(write_html(sample_report(mode))) for mode in (Mode.MEASURED, Mode.PREDICTED))
    card = ("article", {"class": "card predicted"})
    assert measured.tags.count(card) < predicted.tags.count(card)
    assert "~ 33.0 ms" in predicted.prose
    assert "~ 33.0 ms" not in measured.prose


def test_what_could_not_be_had_says_why() -> None:
    prose = Page(write_html(sample_report(None))).prose
    assert "Latency unavailable no timing model for the core cortex-m7" in prose
    assert "Not verified. The artefact did not run" in prose


def test_a_report_without_layers_passes_or_memory() -> None:
    report = Report.model_validate(
        dict(sample_report(None))
        | {"layers": (), "passes": (), "fallbacks": (), "memory": Unavailable(unavailable="nothing was built")}
    )
    prose = Page(write_html(report)).prose
    assert "Unavailable: nothing was built" in prose
    assert "The report holds no layers." in prose


def test_equal_reports_give_equal_pages() -> None:
    assert write_html(sample_report()) == write_html(sample_report())
