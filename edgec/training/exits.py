"""Training and calibration of early exits on features that the rest of the network, which stays as it is, has made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from edgec.core.data import LabelledSample
from edgec.graph.cut_points import between, take_weights
from edgec.graph.reference import ReferenceSession
from edgec.training.batch_norm import fold_batch_norms, insert_batch_norms
from edgec.training.batches import BatchRunner
from edgec.training.exit_confidence import best_temperature
from edgec.training.fit import FitOutcome, TrainingRun, fit
from edgec.training.importer import import_network
from edgec.training.options import FitOptions, Loss
from edgec.training.samples import TrainingSamples
from edgec.training.write_back import write_back

_HELD_OUT_EVERY = 10


@dataclass(frozen=True, eq=False)
class Features:
    """What a network makes of samples.

    Attributes:
        values: by name, each [samples, *shape of the value].
        labels: int64 [samples]; the class that the network finds itself where the data has none.
        from_data: whether the labels are those of the data.
        sha256: digest of the data.
    """

    values: dict[str, np.ndarray]
    labels: np.ndarray
    from_data: bool
    sha256: str


@dataclass(frozen=True)
class TrainedExit:
    """One exit after training.

    Attributes:
        outcome: of the training.
        temperature: by which its logits are to be divided, so that confidence is the chance of being right.
    """

    outcome: FitOutcome
    temperature: float


def observe(model: ir.Model, values: Sequence[str], samples: Iterable[LabelledSample], sha256: str) -> Features:
    """Run a network on samples and keep some of its values.

    Args:
        model: its first output holds a score for each class.
        values: names.
        samples: with whole-number labels, or without labels.
        sha256: digest of the data that they come from.
    """
    inputs = [str(value.name) for value in model.graph.inputs if value.name not in model.graph.initializers]
    scores = str(model.graph.outputs[0].name)
    part = between(model, inputs, [*values, *([] if scores in values else [scores])])
    session = ReferenceSession(part)
    read = [str(value.name) for value in part.graph.inputs]
    seen: dict[str, list[np.ndarray]] = {name: [] for name in values}
    labels, from_data = [], True
    for sample in samples:
        made = session.run({name: sample.inputs[name] for name in read})
        for name in values:
            seen[name].append(made[name])
        has_class = sample.label is not None and sample.label.size == 1 and sample.label.dtype.kind in "iu"
        from_data = from_data and has_class
        said = sample.label.item() if has_class and sample.label is not None else made[scores].argmax()
        labels.append(int(said))
    return Features({name: np.stack(arrays) for name, arrays in seen.items()}, np.array(labels), from_data, sha256)


def train_exit(
    model: ir.Model, source: str, output: str, features: Features, options: FitOptions, run: TrainingRun
) -> TrainedExit:
    """Train the layers between a value and an output, in place, and find the temperature of what they make.

    Nine samples of ten are learned from; on the tenth the temperature makes confidence honest: Guo et al., "On
    Calibration of Modern Neural Networks", 2017, section 4.2.

    Raises:
        EdgecError: EC1005 where the loss is no number any more.
    """
    part = between(model, [source], [output])
    network = import_network(part)
    held_out = np.arange(len(features.labels)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    inputs, labels = torch.from_numpy(features.values[source]), torch.from_numpy(features.labels)
    samples = TrainingSamples((inputs[~held_out],), labels[~held_out], f"{features.sha256} {source}")
    wanted = options.model_copy(update={"loss": Loss.LABELS})
    insert_batch_norms(network, samples)
    outcome = fit(network.module, samples, wanted, run)
    runner = BatchRunner(network.module, samples)
    with torch.no_grad():
        (scores,) = runner(network.module, (inputs[held_out],))
    write_back(fold_batch_norms(network))
    take_weights(model, part)
    logits = scores.reshape(len(scores), -1).numpy()
    return TrainedExit(outcome, best_temperature(logits, features.labels[held_out]))
