import json

import pytest
from audit_samples import answers, errors
from report_samples import sample_layers, sample_metrics, sample_report
from syrupy.assertion import SnapshotAssertion
from test_report_renderings import printed

from edgec.core.metric import Mode, Unavailable, Value, exact
from edgec.report.diff import diff_reports, write_diff_json
from edgec.report.diff_markdown import write_diff_markdown
from edgec.report.diff_records import Presence
from edgec.report.diff_terminal import TerminalDiff
from edgec.report.schema import MemoryByOwner, Report, reconcile, with_shares


def slower() -> Report:
    """The measured sample with one slow layer more, one layer slower, one gone, another recipe, and less code."""
    report = sample_report(Mode.MEASURED)
    layers = list(sample_layers(Mode.MEASURED))
    slow = Value(value=5.0, low=4.9, high=5.1, mode=Mode.MEASURED, source="median of 200 runs on this machine")
    layers[0] = layers[0].model_copy(update={"latency_ms": slow})
    layers[4] = layers[4].model_copy(update={"name": "block2/depthwise2", "macs": 5_419_008})
    gone = layers.pop(6)
    assert gone.name == "block2/resize"
    spent = sum(layer.latency_ms.value for layer in layers if isinstance(layer.latency_ms, Value))
    total = Value(value=spent + 0.6, low=spent, high=spent + 1, mode=Mode.MEASURED, source="whole inference")
    metrics = sample_metrics(total).model_copy(
        update={"artifact_bytes": exact(16_800_000, Mode.MEASURED, "size of the files")}
    )
    return Report.model_validate(
        dict(report)
        | {
            "layers": with_shares(total, tuple(layers)),
            "metrics": metrics,
            "reconciliation": reconcile(total, tuple(layers), overhead_ms=1.0),
            "passes": report.passes[:2],
            "build": report.build.model_copy(update={"recipe": "small", "tools": {"apache-tvm": "0.28.0"}}),
            "memory": MemoryByOwner(
                weights_bytes=16_608_416, activations_bytes=2_809_856, scratch_bytes=102_400, code_bytes=191_584
            ),
        }
    )


def test_a_report_does_not_differ_from_itself() -> None:
    diff = diff_reports(sample_report(), sample_report())
    assert diff.is_empty
    assert diff.equal_layers == 11
    assert printed(TerminalDiff(diff)).splitlines()[-1] == "The reports say the same."
    assert "The reports say the same." in write_diff_markdown(diff)


def test_metrics_layers_passes_and_settings() -> None:
    diff = diff_reports(sample_report(), slower())
    metrics = {change.name: change for change in diff.metrics}
    assert set(metrics) == {"latency_ms", "artifact_bytes"}
    assert metrics["artifact_bytes"].absolute == 16_800_000 - 16_933_120
    assert metrics["latency_ms"].absolute == pytest.approx(3.0)
    assert metrics["latency_ms"].bands_overlap is False
    layers = {change.name: change for change in diff.layers}
    assert layers["stem/conv"].latency_ms == pytest.approx(3.1)
    assert layers["stem/conv"].bands_overlap is False
    assert layers["block2/resize"].presence is Presence.REMOVED
    assert layers["block2/resize"].latency_ms == pytest.approx(-0.3)
    assert layers["block2/depthwise2"].presence is Presence.ADDED
    assert diff.equal_layers == 8
    assert [(change.name, change.presence) for change in diff.passes] == [("merge-transposes", Presence.REMOVED)]
    assert {change.name: (change.before, change.after) for change in diff.settings} == {
        "recipe": ("exact", "small"),
        "tool apache-tvm": ("0.27.0.post1", "0.28.0"),
        "tool onnxruntime": ("1.23.2", ""),
    }


def test_the_parts_of_the_change_add_up() -> None:
    diff = diff_reports(sample_report(), slower())
    total = next(change.absolute for change in diff.metrics if change.name == "latency_ms")
    assert diff.between_layers_ms == pytest.approx(0.2)
    assert sum(layer.latency_ms or 0 for layer in diff.layers) + diff.between_layers_ms == pytest.approx(total)


def test_the_change_is_explained_by_its_largest_parts() -> None:
    explanation = diff_reports(sample_report(), slower()).explanation
    assert "Latency: stem/conv +3.10 ms of +3.00 ms." in explanation
    assert "Artefact size: code −130 KiB of −130 KiB." in explanation


def test_overlapping_bands_are_named() -> None:
    before = sample_report()
    total = before.metrics.latency_ms
    assert isinstance(total, Value)
    moved = total.model_copy(update={"value": total.value + 0.2})
    after = Report.model_validate(
        dict(before)
        | {
            "metrics": before.metrics.model_copy(update={"latency_ms": moved}),
            "layers": with_shares(moved, before.layers),
            "reconciliation": reconcile(moved, before.layers, overhead_ms=1),
        }
    )
    diff = diff_reports(before, after)
    assert diff.metrics[0].bands_overlap is True
    assert "Latency: the error bands overlap, so +200 µs may be error and no change." in diff.explanation
    assert not diff.layers


def test_measured_against_predicted_is_no_plain_change() -> None:
    diff = diff_reports(sample_report(Mode.MEASURED), sample_report(Mode.PREDICTED))
    assert (
        "Latency was measured before and is predicted now: part of the difference is the method's." in diff.explanation
    )
    assert "The reports are for different targets." in diff.explanation


def test_a_metric_that_only_one_report_has() -> None:
    diff = diff_reports(sample_report(), sample_report(None))
    assert diff.metrics[0].absolute is None
    assert isinstance(diff.metrics[0].after, Unavailable)
    assert all(layer.latency_ms is None for layer in diff.layers)
    assert "no timing model for the core" in printed(TerminalDiff(diff), width=120)


def test_layers_of_equal_names_are_matched_in_order() -> None:
    report = sample_report(None)
    twice = Report.model_validate(dict(report) | {"layers": (*report.layers, report.layers[0])})
    diff = diff_reports(report, twice)
    assert [(layer.name, layer.presence) for layer in diff.layers] == [("stem/conv", Presence.ADDED)]
    assert diff.equal_layers == 11


def test_json() -> None:
    document = json.loads(write_diff_json(diff_reports(sample_report(), slower())))
    assert document["schema"] == "edgec-diff/1"
    assert document["layers"][0]["name"] == "stem/conv"
    assert write_diff_json(diff_reports(sample_report(), slower())).endswith(b"}\n")


def test_terminal(snapshot: SnapshotAssertion) -> None:
    shown = printed(TerminalDiff(diff_reports(sample_report(), slower()), largest_layers=3))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown == snapshot


def test_markdown(snapshot: SnapshotAssertion) -> None:
    assert write_diff_markdown(diff_reports(sample_report(), slower()), largest_layers=3) == snapshot


def test_a_change_that_no_layer_makes_alone_is_called_spread() -> None:
    def uniform(milliseconds: float) -> Report:
        report = sample_report()
        one = Value(value=milliseconds, low=milliseconds, high=milliseconds, mode=Mode.MEASURED, source="timer")
        layers = tuple(
            report.layers[0].model_copy(update={"name": f"conv{index}", "latency_ms": one, "share": None})
            for index in range(20)
        )
        total = one.model_copy(update=dict.fromkeys(("value", "low", "high"), milliseconds * 20))
        return Report.model_validate(
            dict(report)
            | {"layers": layers, "metrics": sample_metrics(total), "reconciliation": reconcile(total, layers)}
        )

    explanation = diff_reports(uniform(1.0), uniform(1.5)).explanation
    assert explanation == ("Latency: spread over 20 changes; the largest is conv0 with +500 µs of +10.0 ms.",)


def test_audits_of_answers_are_compared() -> None:
    audit = answers()
    worse = audit.model_copy(
        update={
            "lost": audit.lost + 7,
            "by_class": (audit.by_class[0].model_copy(update={"after": 0.25}), *audit.by_class[1:]),
        }
    )
    before = sample_report().model_copy(update={"audit": audit})
    diff = diff_reports(before, before.model_copy(update={"audit": worse}))
    label = f"class {audit.by_class[0].label}"
    assert [(change.name, change.before, change.after) for change in diff.audit] == [
        ("lost", audit.lost, audit.lost + 7),
        (label, audit.by_class[0].after, 0.25),
    ]
    assert not diff.is_empty
    for text in (printed(TerminalDiff(diff)), write_diff_markdown(diff)):
        assert "right before the passes, wrong after" in text
        assert f"{label}, share right" in text
        assert "25" in text


def test_an_audit_in_one_report_only_is_no_equal_audit() -> None:
    without = sample_report().model_copy(update={"audit": None})
    diff = diff_reports(without, without.model_copy(update={"audit": errors()}))
    changes = {change.name: (change.before, change.after) for change in diff.audit}
    assert changes["max_relative_error"] == (None, errors().max_relative_error)
    assert "largest error, of the range" in printed(TerminalDiff(diff))
