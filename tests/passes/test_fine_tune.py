"""Pass `fine-tune`: accuracy that a lossy pass cost comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.pipeline import Pipeline
from edgec.graph.cost import model_size
from edgec.graph.gate import ReferenceGate
from edgec.passes.fine_tune import FineTune, FineTuneOptions
from edgec.passes.prune_channels import PruneChannels, PruneChannelsOptions
from tests.training.pictures_task import Quarters, accuracy, quarters_net

pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

TUNING = FineTuneOptions(epochs=3, batch=32, learning_rate=0.05)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CACHE", str(tmp_path))


def test_it_wins_back_what_pruning_cost() -> None:
    context = PassContext(data=Quarters())
    passes = [
        FineTune(TUNING),
        PruneChannels(PruneChannelsOptions(ratio=0.7, keep_at_least=0, round_to=1, reconstruct=False)),
    ]
    pruned = Pipeline(passes, ReferenceGate(), model_size).run(quarters_net(), context)
    tuned = Pipeline([FineTune(TUNING)], ReferenceGate(), model_size).run(pruned.model, context)
    assert accuracy(tuned.model) > max(accuracy(pruned.model), 0.9)
    record = tuned.records[0]
    assert record.after.macs == record.before.macs
    assert record.stats["learned from"] == "labels"
    assert record.stats["batch normalisations put in for training"] == 2


def test_without_data_it_is_refused_before_any_work() -> None:
    with pytest.raises(EdgecError) as caught:
        Pipeline([FineTune()], ReferenceGate(), model_size).run(quarters_net(), PassContext())
    assert caught.value.code.code == "EC0305"


def test_without_the_extra_it_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EdgecError) as caught:
        FineTune().run(quarters_net(), PassContext(data=Quarters()))
    assert caught.value.code.code == "EC0901"
    assert caught.value.hint == "pip install 'edgec[qat]'"


def test_without_labels_it_learns_what_the_network_said_before_pruning() -> None:
    passes = [
        PruneChannels(PruneChannelsOptions(ratio=0.7, keep_at_least=0, round_to=1, reconstruct=False)),
        FineTune(FineTuneOptions(epochs=3, batch=32, learning_rate=0.05, loss="distillation")),
    ]
    trained = Pipeline([FineTune(TUNING)], ReferenceGate(), model_size).run(
        quarters_net(), PassContext(data=Quarters())
    )
    result = Pipeline(passes, ReferenceGate(), model_size).run(trained.model, PassContext(data=Quarters()))
    assert accuracy(result.model) > 0.9
    assert result.records[1].stats["learned from"] == "distillation"
    assert not result.records[1].assumptions
