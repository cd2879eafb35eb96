"""Further training of a model, from ONNX to ONNX."""

from __future__ import annotations

import onnx_ir as ir

from edgec.core.cache import Cache
from edgec.core.data import DataSource
from edgec.core.progress import Progress
from edgec.training.batch_norm import fold_batch_norms, insert_batch_norms
from edgec.training.fit import FitOutcome, TrainingRun, fit
from edgec.training.importer import TrainableNetwork, import_network
from edgec.training.options import FitOptions
from edgec.training.samples import read_samples
from edgec.training.write_back import write_back


def fine_tune(
    model: ir.Model,
    data: DataSource,
    options: FitOptions,
    *,
    seed: int,
    progress: Progress,
    teacher: ir.Model | None = None,
    cache: Cache | None = None,
) -> tuple[FitOutcome, int]:
    """Train a model in place; the outcome, and how many batch normalisations were put in for it.

    Args:
        model: to train.
        data: its `train` split is used.
        options: how.
        seed: of order and augmentation.
        progress: told of every step.
        teacher: the model whose outputs are distilled; the given weights of `model` itself if None.
        cache: keeps the state after each epoch, so that an interrupted training goes on.

    Raises:
        EdgecError: EC1001 to EC1005, and EC07xx for the data.
    """
    network: TrainableNetwork = import_network(model)
    samples = read_samples(data, model, options)
    taught = import_network(teacher if teacher is not None else model).module
    inserted = insert_batch_norms(network, samples)
    run = TrainingRun("fine-tune", seed, taught, progress, cache)
    outcome = fit(network.module, samples, options, run)
    write_back(fold_batch_norms(network))
    return outcome, inserted
