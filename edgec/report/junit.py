"""The outcome of `edgec check` as JUnit XML, which every CI system reads: a suite a build, a case a budget."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from edgec.report.check_records import CheckResult, Outcome, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(result: CheckResult) -> bytes:
    """UTF-8 XML; a broken budget is a failure, one that could not be judged an error."""
    root = ElementTree.Element("testsuites", name="edgec check")
    builds = dict.fromkeys((verdict.target, verdict.model) for verdict in result.verdicts)
    for target, model in builds:
        verdicts = [each for each in result.verdicts if (each.target, each.model) == (target, model)]
        suite = ElementTree.SubElement(root, "testsuite", name=_text(f"{model} on {target}"), tests=str(len(verdicts)))
        suite.set("failures", str(sum(each.outcome is Outcome.BROKEN for each in verdicts)))
        suite.set("errors", str(sum(each.outcome is Outcome.UNKNOWN for each in verdicts)))
        for verdict in verdicts:
            _case(suite, result, verdict)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, result: CheckResult, verdict: Verdict) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_text(f"{verdict.metric} {verdict.limit}"),
        classname=_text(f"{verdict.target}.{verdict.model}"),
        file=_text(result.project),
        line=str(verdict.line),
    )
    if verdict.outcome is Outcome.KEPT:
        ElementTree.SubElement(case, "system-out").text = _text(verdict.reason)
        return
    kind = "failure" if verdict.outcome is Outcome.BROKEN else "error"
    found = ElementTree.SubElement(case, kind, message=_text(verdict.reason), type=verdict.outcome.value)
    lines = [f"{result.project}:{verdict.line}: {verdict.limit}"]
    lines += [f"in layer {layer}" for layer in verdict.layers] + [f"since {cause}" for cause in verdict.causes]
    found.text = _text("\n".join(lines))


def _text(content: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", content)
