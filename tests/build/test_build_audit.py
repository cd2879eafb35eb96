"""The audit of a build: both models run once a sample, and the report shows what quantization cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgec.build import BuildOptions, build
from edgec.core.metric import Unavailable, Value
from edgec.core.progress import Silent
from edgec.evaluation import Comparison, evaluate
from edgec.graph.reference import ReferenceSession
from edgec.measure.audit_records import AnswerAudit, ErrorAudit
from edgec.report.sensitivity import layer_losses

RECIPE = """
[[pass]]
name = "static-shapes"

[[pass]]
name = "quantize"
speed = "ignored"
weight_bits = 2
reconstruct = false
max_loss = 1.0
min_snr_db = -100
sensitivity_samples = 2
"""


def pictures_network(*, ranks_classes: bool = True, shift: float = 0.0) -> onnx.ModelProto:
    """A convolution of grey pictures of 8 × 8 pixels; with a head that ranks 5 classes, or without."""
    random = np.random.default_rng(0)
    weights = {
        "filters": random.standard_normal((6, 1, 3, 3)),
        "head": random.standard_normal((384, 5)),
        "bias": np.array([shift, 0, 0, 0, 0]),
    }
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["seen"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["seen"], ["positive"], name="relu"),
        helper.make_node("Flatten", ["positive"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "head", "bias"], ["scores"], name="last"),
    ]
    output = ("scores", [1, 5])
    if not ranks_classes:
        nodes, constants, output = nodes[:2], constants[:1], ("positive", [1, 6, 8, 8])
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info(output[0], onnx.TensorProto.FLOAT, output[1])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 1, 8, 8), np.float32)


def compared(
    folder: Path, models: tuple[onnx.ModelProto, onnx.ModelProto], audited: bool = True, **data: np.ndarray
) -> Comparison:
    original, other = map(ir.from_proto, models)
    np.savez(folder / "data.npz", **data)
    return evaluate(str(folder / "data.npz"), original, 0).compare(original, other, Silent(), audited=audited)


def test_a_build_shows_what_quantization_cost(tmp_path: Path) -> None:
    model = pictures_network()
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    session, inputs = ReferenceSession(ir.from_proto(model)), images(200)
    labels = np.array([np.argmax(session.run({"x": image[None]})["scores"]) for image in inputs])
    np.savez(tmp_path / "data.npz", x=inputs, y=labels)
    options = BuildOptions(
        model=tmp_path / "model.onnx",
        target="host",
        recipe=str(tmp_path / "recipe.toml"),
        data=str(tmp_path / "data.npz"),
        out=tmp_path / "artefact",
    )
    report = build(options, Silent()).report
    audit, accuracy = report.audit, report.metrics.accuracy
    assert isinstance(audit, AnswerAudit)
    assert isinstance(accuracy, Value)
    assert isinstance(report.metrics.accuracy_original, Value)
    assert report.metrics.accuracy_original.value == 1.0
    assert accuracy.value == audit.agreement.value == (audit.samples - audit.lost) / audit.samples < 1
    assert {row.layer for row in layer_losses(report)} == {"first", "last"}
    page = (tmp_path / "artefact" / "report.html").read_text()
    assert page.count("<img") == len(audit.examples) > 0


def test_every_sample_runs_once_in_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    run = ReferenceSession.run
    monkeypatch.setattr(ReferenceSession, "run", lambda self, sample: (runs.append(self), run(self, sample))[1])
    models = (pictures_network(), pictures_network(shift=30.0))
    comparison = compared(tmp_path, models, x=images(50), y=np.zeros(50, np.int64))
    assert comparison.audit is not None
    assert isinstance(comparison.accuracy["accuracy"], Value)
    assert sorted(runs.count(session) for session in set(runs)) == [10, 10]


def test_accuracy_needs_no_audit(tmp_path: Path) -> None:
    models = (pictures_network(), pictures_network())
    comparison = compared(tmp_path, models, audited=False, x=images(50), y=np.zeros(50, np.int64))
    assert comparison.audit is None
    assert comparison.accuracy["accuracy"] == comparison.accuracy["accuracy_original"]


def test_data_without_labels_give_an_agreement(tmp_path: Path) -> None:
    comparison = compared(tmp_path, (pictures_network(), pictures_network(shift=30.0)), x=images(100))
    assert isinstance(comparison.accuracy["accuracy"], Unavailable)
    assert isinstance(comparison.audit, AnswerAudit)
    assert not comparison.audit.labelled
    assert comparison.audit.samples == 20
    assert comparison.audit.agreement.value == (20 - comparison.audit.changed) / 20 < 1


def test_a_network_that_ranks_nothing_has_its_largest_errors_shown(tmp_path: Path) -> None:
    first, second = (pictures_network(ranks_classes=False) for _ in range(2))
    filters = numpy_helper.to_array(second.graph.initializer[0]) * np.float32(1.1)
    second.graph.initializer[0].CopyFrom(numpy_helper.from_array(filters, "filters"))
    audit = compared(tmp_path, (first, second), x=images(100)).audit
    assert isinstance(audit, ErrorAudit)
    assert audit.samples == 20
    assert 0 < audit.median_relative_error <= audit.max_relative_error == audit.examples[0].max_relative_error
    assert audit.max_relative_error == pytest.approx(0.1, rel=0.01)
    assert all(example.picture for example in audit.examples)


def test_targets_of_a_regression_are_no_classes(tmp_path: Path) -> None:
    models = (pictures_network(), pictures_network(shift=30.0))
    comparison = compared(tmp_path, models, x=images(50), y=np.zeros((50, 5), np.float32))
    assert isinstance(comparison.audit, ErrorAudit)
    assert isinstance(comparison.accuracy["accuracy"], Unavailable)


def test_class_labels_make_no_accuracy_of_an_output_that_ranks_nothing(tmp_path: Path) -> None:
    models = (pictures_network(ranks_classes=False), pictures_network(ranks_classes=False))
    comparison = compared(tmp_path, models, x=images(50), y=np.zeros(50, np.int64))
    assert isinstance(comparison.audit, ErrorAudit)
    missing = comparison.accuracy["accuracy"]
    assert isinstance(missing, Unavailable)
    assert "one element for each class" in missing.unavailable


def test_made_up_inputs_are_not_audited() -> None:
    model = ir.from_proto(pictures_network())
    comparison = evaluate(None, model, 0).compare(model, model, Silent(), audited=True)
    assert comparison.audit is None
    assert isinstance(comparison.accuracy["accuracy"], Unavailable)
