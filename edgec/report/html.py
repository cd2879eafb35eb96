"""The report as one HTML file: no network, no script needed to read it, every string of the user escaped."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from edgec.report import content, formatting
from edgec.report.audit_content import audit_sentences, class_rows, example_cards, examples_heading, other_classes
from edgec.report.layer_table import layer_table
from edgec.report.schema import Report
from edgec.report.sensitivity import layer_losses

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATE = "report.html.j2"


def write_html(report: Report) -> bytes:
    """The page as UTF-8; equal reports give equal bytes."""
    page = (
        _environment()
        .get_template(TEMPLATE)
        .render(
            report=report,
            inputs=tuple(map(content.tensor_text, report.model.inputs)),
            outputs=tuple(map(content.tensor_text, report.model.outputs)),
            assumptions=content.assumptions(report),
            verdict=content.verdict(report),
            cards=content.cards(report),
            metrics=content.metric_rows(report),
            missing=content.missing_rows(report),
            passes=content.pass_rows(report),
            idle=content.idle_passes(report),
            skipped=content.skipped_rows(report),
            audit=audit_sentences(report),
            classes=class_rows(report),
            other_classes=other_classes(report, len(class_rows(report))),
            examples=example_cards(report),
            examples_heading=examples_heading(report),
            layer_losses=layer_losses(report),
            memory=content.memory_rows(report),
            layers=layer_table(report),
            provenance=content.provenance_rows(report),
            style=_resource("report.css"),
            script=_resource("report.js"),
        )
    )
    return page.encode()


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        prose=_prose,
        printable=formatting.printable,
        count=formatting.count,
        size=formatting.size,
        percent=formatting.percent,
    )
    return environment


def _prose(text: str) -> Markup:
    """Escaped text with `names in backticks` set as code."""
    from markupsafe import Markup, escape

    pieces = (
        Markup("<code>{}</code>").format(span.text) if span.is_code else escape(span.text)
        for span in formatting.spans(text)
    )
    return Markup("").join(pieces)


def _resource(name: str) -> str:
    return (resources.files("edgec.report") / name).read_text(encoding="utf-8")
