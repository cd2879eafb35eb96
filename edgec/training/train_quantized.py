"""Training of a model that rounds to small integers, from ONNX and a plan of quantization to quantized ONNX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from edgec.core.cache import Cache
from edgec.core.data import DataSource
from edgec.core.progress import Progress
from edgec.graph.quantization import QuantizationPlan
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.graph.reference import ReferenceSession
from edgec.training.batch_norm import insert_batch_norms
from edgec.training.batches import BatchRunner
from edgec.training.fit import FitOutcome, TrainingRun, fit
from edgec.training.importer import import_network
from edgec.training.options import FitOptions
from edgec.training.quantized_network import insert_quantizers, take_plan
from edgec.training.samples import TrainingSamples, read_samples
from edgec.training.write_back import write_back

_SAME = 1e-5
_COMPARED_SAMPLES = 256


@dataclass(frozen=True)
class Equality:
    """The written model in ONNX Runtime against the trained network in torch.

    Attributes:
        compared: samples that both were run on.
        differing: those with an output that differs by more than 0.001 % of the largest.
        answers: those with another arg-max of the first output.
        largest: the largest difference, relative to the largest element of its output.
    """

    compared: int
    differing: int
    answers: int
    largest: float


@dataclass(frozen=True, eq=False)
class QuantizedTraining:
    """What came out.

    Attributes:
        model: quantized.
        outcome: of the training.
        batch_norms: how many batch normalisations were put in for it.
        equality: of the trained network and the written model.
    """

    model: ir.Model
    outcome: FitOutcome
    batch_norms: int
    equality: Equality


def train_quantized(
    model: ir.Model,
    plan: QuantizationPlan,
    data: DataSource,
    options: FitOptions,
    *,
    power_of_two: bool,
    dialect: Dialect,
    seed: int,
    progress: Progress,
    cache: Cache | None = None,
) -> QuantizedTraining:
    """Train with the rounding of a plan, learn its scales, and write both into the model, which changes in place.

    Raises:
        EdgecError: EC1001 to EC1005, EC07xx for the data, EC0341 and EC0342 where the result cannot be written.
    """
    network = import_network(model)
    samples = read_samples(data, model, options)
    teacher = import_network(model).module
    inserted = 0 if power_of_two else insert_batch_norms(network, samples)
    quantized = insert_quantizers(network, plan, power_of_two=power_of_two)
    outcome = fit(network.module, samples, options, TrainingRun("train-quantized", seed, teacher, progress, cache))
    trained = _outputs(network.module, samples)
    plain, learned = take_plan(quantized)
    write_back(plain)
    written = write_quantization(model, learned, dialect=dialect)
    return QuantizedTraining(written, outcome, inserted, _compare(written, samples, trained))


def _outputs(module: torch.nn.Module, samples: TrainingSamples) -> tuple[np.ndarray, ...]:
    """The outputs of the trained network on the first samples."""
    runner = BatchRunner(module, samples)
    with torch.no_grad():
        results = runner(module, tuple(tensor[:_COMPARED_SAMPLES] for tensor in samples.inputs))
    return tuple(result.numpy() for result in results)


def _compare(model: ir.Model, samples: TrainingSamples, trained: tuple[np.ndarray, ...]) -> Equality:
    session = ReferenceSession(model)
    names = [str(value.name) for value in model.graph.inputs if value.name not in model.graph.initializers]
    distances, answers = [], 0
    for row in range(len(trained[0])):
        sample = {name: tensor[row].numpy() for name, tensor in zip(names, samples.inputs, strict=True)}
        written = list(session.run(sample).values())
        pairs = [(mine[row].reshape(-1), theirs.reshape(-1)) for mine, theirs in zip(trained, written, strict=True)]
        distances.append(max((_distance(mine, theirs) for mine, theirs in pairs if mine.size), default=0.0))
        answers += bool(pairs[0][0].size) and int(pairs[0][0].argmax()) != int(pairs[0][1].argmax())
    return Equality(len(distances), sum(distance > _SAME for distance in distances), answers, max(distances))


def _distance(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two outputs, relative to the largest element."""
    return float(np.abs(mine - theirs).max() / max(float(np.abs(mine).max()), 1e-30))
