"""Pass `insert-exits`: early answers and how far they can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.pipeline import Pipeline, PipelineResult
from edgec.graph.cost import model_size
from edgec.graph.exit_note import ExitNote
from edgec.graph.gate import ReferenceGate
from edgec.graph.reference import ReferenceSession
from edgec.passes.fine_tune import FineTune, FineTuneOptions
from edgec.passes.insert_exits import InsertExits, InsertExitsOptions
from edgec.training.exit_confidence import best_temperature, calibration_error, operations, probabilities
from tests.training.pictures_task import Quarters, quarters, quarters_net

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path))


def _with_exits(*, softmax: bool = False, labelled: bool = True, **options: object) -> PipelineResult:
    context = PassContext(data=Quarters())
    trained = FineTune(FineTuneOptions(epochs=4, batch=32)).run(quarters_net(softmax=softmax), context).model
    step = InsertExits(InsertExitsOptions.model_validate({"batch": 32, "channels": 8, "count": 1, **options}))
    context = PassContext(data=Quarters(labelled=labelled))
    return Pipeline([step], ReferenceGate(), model_size).run(trained, context)


@pytest.mark.parametrize("softmax", [False, True])
def test_the_network_stays_and_an_early_answer_is_good(softmax: bool) -> None:
    result = _with_exits(softmax=softmax)
    fidelity = result.records[0].fidelity
    assert fidelity is not None
    assert fidelity.bit_exact
    assert [value.name for value in result.model.graph.outputs] == ["scores", "exit_1"]
    session = ReferenceSession(result.model)
    pictures, labels = quarters(256, seed=99)
    early = [session.run({"image": picture[None]})["exit_1"][0] for picture in pictures]
    assert np.mean(np.argmax(early, 1) == labels) > 0.85
    if softmax:
        np.testing.assert_allclose(np.sum(early, 1), 1, rtol=1e-5)
    note = ExitNote.read(result.model)
    assert note is not None
    assert note.probabilities is softmax


def test_the_report_has_accuracy_against_work() -> None:
    stats = _with_exits(count=1).records[0].stats
    rows = {name: str(value) for name, value in stats.items() if name.startswith("threshold")}
    shares = [float(row.split(", ")[1].split("%")[0]) for row in rows.values()]
    assert len(rows) == 6
    assert shares == sorted(shares)
    assert 0 < shares[0] < 100 < shares[-1] + 100


def test_without_labels_it_learns_the_answers_of_the_network() -> None:
    result = _with_exits(labelled=False)
    assert "agreement with the network, whole network" in result.records[0].stats
    assert "exits learned the answers of the network" in result.records[0].assumptions[-1]


def test_exits_are_for_classifiers() -> None:
    model = quarters_net()
    model.graph.outputs[0].shape = ir.Shape([1, 2, 2])
    with pytest.raises(EdgecError, match="EC1206"):
        InsertExits().run(model, PassContext(data=Quarters()))


def test_temperature_makes_confidence_honest() -> None:
    random = np.random.default_rng(0)
    logits = random.standard_normal((4000, 5)) * 2
    labels = np.array([random.choice(5, p=row) for row in probabilities(logits)])
    overconfident = 3 * logits
    temperature = best_temperature(overconfident, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    assert calibration_error(probabilities(overconfident / temperature), labels) < 0.03
    assert calibration_error(probabilities(overconfident), labels) > 0.1


def test_the_first_sure_exit_answers() -> None:
    sure, unsure = np.array([0.95, 0.05]), np.array([0.4, 0.6])
    exits = [np.stack([sure, unsure, unsure]), np.stack([unsure, sure, unsure])]
    final = np.array([[0.0, 1.0]] * 3)
    (way,) = operations(exits, final, np.array([0, 0, 1]), [10, 20, 100], [0.9])
    assert (way.accuracy, way.macs, way.early) == (1.0, pytest.approx(130 / 3), pytest.approx(2 / 3))
