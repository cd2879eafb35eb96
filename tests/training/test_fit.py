"""Training learns, repeats itself, goes on where it was interrupted, and refuses unfit data first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.core.cache import Cache
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from tests.models import attention_net
from tests.training.pictures_task import CLASSES, Quarters, accuracy, quarters, quarters_net

torch = pytest.importorskip("torch", reason="the extra qat is not installed")
pytest.importorskip("brevitas", reason="the extra qat is not installed")

import onnx_ir as ir  # noqa: E402

from edgec.graph.shapes import infer_shapes  # noqa: E402
from edgec.training.batch_norm import fold_batch_norms, insert_batch_norms  # noqa: E402
from edgec.training.batches import BatchRunner, batches  # noqa: E402
from edgec.training.fine_tune import fine_tune  # noqa: E402
from edgec.training.fit import learning_rate  # noqa: E402
from edgec.training.importer import import_network  # noqa: E402
from edgec.training.options import FitOptions, Loss, Optimizer, Schedule  # noqa: E402
from edgec.training.samples import TrainingSamples, read_samples  # noqa: E402
from edgec.training.taught import TaughtOutputs  # noqa: E402
from edgec.training.write_back import write_back  # noqa: E402

OPTIONS = FitOptions(epochs=2, batch=32, learning_rate=0.05)


def weights_of(model: ir.Model) -> list[np.ndarray]:
    return [value.const_value.numpy() for value in model.graph.initializers.values() if value.const_value is not None]


class Interrupted(Silent):
    """Stops the training when its first epoch is over, as Ctrl-C would."""

    def __init__(self) -> None:
        self.steps = 0

    def advance(self, units: int = 1) -> None:
        self.steps += units
        if self.steps == 20:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_it_learns_from_labels(optimizer: Optimizer) -> None:
    model = quarters_net()
    rate = 0.05 if optimizer is Optimizer.SGD else 0.005
    options = FitOptions(epochs=3, batch=32, learning_rate=rate, optimizer=optimizer)
    outcome, inserted = fine_tune(model, Quarters(), options, seed=0, progress=Silent())
    assert accuracy(model) > 0.9
    assert outcome.learned_from == "labels"
    assert inserted == 2
    assert outcome.losses[-1] < outcome.losses[0]


def test_a_network_that_ends_in_a_softmax_learns_as_well() -> None:
    model = quarters_net(softmax=True)
    fine_tune(model, Quarters(), OPTIONS, seed=0, progress=Silent())
    assert accuracy(model) > 0.9


def test_it_learns_without_labels_from_another_model() -> None:
    teacher, student = quarters_net(), quarters_net()
    fine_tune(teacher, Quarters(), OPTIONS, seed=0, progress=Silent())
    before = accuracy(student)
    outcome, _ = fine_tune(student, Quarters(labelled=False), OPTIONS, seed=0, progress=Silent(), teacher=teacher)
    assert outcome.learned_from == "distillation"
    assert accuracy(student) > max(before, 0.9)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = quarters_net(), quarters_net(), quarters_net()
    for model, seed in ((first, 0), (second, 0), (other, 1)):
        fine_tune(model, Quarters(), OPTIONS, seed=seed, progress=Silent())
    same = [np.array_equal(a, b) for a, b in zip(weights_of(first), weights_of(second), strict=True)]
    assert all(same)
    assert not np.array_equal(weights_of(first)[0], weights_of(other)[0])


@pytest.mark.parametrize("loss", [Loss.LABELS, Loss.DISTILLATION])
@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, optimizer: Optimizer, loss: Loss) -> None:
    options = FitOptions(epochs=3, batch=32, learning_rate=0.01, optimizer=optimizer, loss=loss)
    whole, halved = quarters_net(), quarters_net()
    fine_tune(whole, Quarters(), options, seed=0, progress=Silent())
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(quarters_net(), Quarters(), options, seed=0, progress=Interrupted(), cache=cache)
    outcome, _ = fine_tune(halved, Quarters(), options, seed=0, progress=Silent(), cache=cache)
    assert outcome.resumed == 1
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(whole), weights_of(halved), strict=True))
    again, _ = fine_tune(quarters_net(), Quarters(), options, seed=1, progress=Silent(), cache=cache)
    assert again.resumed == 0


@pytest.mark.parametrize(("changes", "runs"), [({}, 4), ({"flip": True}, 8), ({"epochs": 1}, 4)])
def test_a_teacher_is_asked_once_for_what_it_would_say_again(changes: dict[str, object], runs: int) -> None:
    options = OPTIONS.model_copy(update=changes)
    model = quarters_net()
    samples = read_samples(Quarters(4 * options.batch), model, options)
    teacher = import_network(model).module
    runner = BatchRunner(teacher, samples)
    sizes: list[int] = []
    teacher.register_forward_hook(lambda _module, given, _made: sizes.append(len(given[0])))
    taught = TaughtOutputs(teacher, samples, options, runner)
    for epoch in range(options.epochs):
        for batch in batches(samples, options, 0, epoch):
            found = taught(batch)[0]
            with torch.no_grad():
                expected = teacher.forward(batch.inputs[0].flatten(0, 1))
            assert torch.allclose(found, expected, atol=1e-5)
    assert sizes.count(options.batch) == runs


def test_put_in_normalisations_change_nothing_and_fold_without_a_trace() -> None:
    model = quarters_net()
    network = import_network(model)
    samples = read_samples(Quarters(), model, OPTIONS)
    inputs = samples.inputs[0][:16].flatten(0, 1)
    with torch.no_grad():
        before = network.module(inputs)
        assert insert_batch_norms(network, samples) == 2
        assert torch.allclose(network.module(inputs), before, atol=1e-5)
        for module in network.module.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.mul_(-0.7)
                module.running_mean.add_(0.3)
        changed = network.module(inputs)
        network = fold_batch_norms(network)
        assert torch.allclose(network.module(inputs), changed, atol=1e-5)
    write_back(network)
    assert len(list(model.graph)) == 6
    assert torch.allclose(import_network(model).module(inputs), changed, atol=1e-5)


def test_a_network_made_for_one_sample_is_found_out() -> None:
    model = ir.from_proto(attention_net())
    infer_shapes(model)
    tokens = torch.randn(4, 1, 6, 16, generator=torch.Generator().manual_seed(0))
    samples = TrainingSamples((tokens,), None, "tokens")
    module = import_network(model).module
    runner = BatchRunner(module, samples)
    with torch.no_grad():
        together = runner(module, samples.inputs)[0]
        alone = torch.stack([module(row) for row in tokens])
    assert torch.allclose(together.reshape(-1), alone.reshape(-1), atol=1e-5)


def test_every_sample_is_seen_once_and_pictures_are_moved() -> None:
    pictures, labels = quarters(64)
    samples = TrainingSamples((torch.from_numpy(pictures[:, None]),), torch.arange(64), "pictures")
    plain = list(batches(samples, OPTIONS, seed=0, epoch=0))
    assert sorted(int(row) for batch in plain for row in batch.labels) == list(range(64))
    moved = next(batches(samples, OPTIONS.model_copy(update={"flip": True, "shift": 2}), seed=0, epoch=0))
    assert moved.inputs[0].shape == plain[0].inputs[0].shape
    assert not torch.equal(moved.inputs[0], plain[0].inputs[0])
    assert len(labels) == 64


@pytest.mark.parametrize("schedule", list(Schedule))
def test_the_learning_rate_stays_between_zero_and_its_largest(schedule: Schedule) -> None:
    options = FitOptions(learning_rate=0.1, schedule=schedule)
    rates = [learning_rate(options, step, 100) for step in range(100)]
    assert max(rates) <= 0.1 + 1e-12
    assert min(rates) > 0
    assert schedule is Schedule.CONSTANT or rates[-1] < 0.01


@pytest.mark.parametrize(
    ("data", "loss", "code", "hint"),
    [
        (Quarters(16), Loss.AUTO, "EC1004", "smaller `batch`"),
        (Quarters(64, labelled=False), Loss.LABELS, "EC1002", "distillation"),
        (Quarters(64, labels=np.arange(64) % CLASSES + 1), Loss.AUTO, "EC1003", "y - 1"),
        (Quarters(64, labels=np.arange(64) % CLASSES - 1), Loss.AUTO, "EC1003", "from 0"),
        (Quarters(64, labels=np.zeros(64, np.float32)), Loss.AUTO, "EC1003", "from 0"),
        (Quarters(64, labels=np.eye(CLASSES)[np.arange(64) % CLASSES]), Loss.AUTO, "EC1003", "argmax"),
    ],
)
def test_unfit_data_are_refused_before_training(data: Quarters, loss: Loss, code: str, hint: str) -> None:
    with pytest.raises(EdgecError) as caught:
        fine_tune(quarters_net(), data, OPTIONS.model_copy(update={"loss": loss}), seed=0, progress=Silent())
    assert caught.value.code.code == code
    assert hint in caught.value.hint


def test_a_training_that_diverges_stops() -> None:
    options = FitOptions(epochs=3, batch=32, learning_rate=1e30, schedule=Schedule.CONSTANT)
    with pytest.raises(EdgecError) as caught:
        fine_tune(quarters_net(), Quarters(), options, seed=0, progress=Silent())
    assert caught.value.code.code == "EC1005"
