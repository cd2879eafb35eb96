"""Gradients of the loss by the weights of a model as it is: nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import onnx_ir as ir

from edgec.core.data import DataSource
from edgec.training.batches import BatchRunner, batches
from edgec.training.importer import import_network
from edgec.training.losses import Objective
from edgec.training.options import FitOptions, Loss
from edgec.training.samples import read_samples

Gradients = dict[tuple[ir.Node, int], np.ndarray]
"""By node and number of the input that is the weight: an array of the shape of that weight."""


def weight_gradients(model: ir.Model, data: DataSource, *, steps: int, batch: int, seed: int) -> Iterator[Gradients]:
    """The gradient of the mean cross-entropy of each of some random batches of the training split.

    Args:
        model: with shapes; it is not changed.
        data: with labels.
        steps: number of batches, or as many as there are.
        batch: samples of each.
        seed: of the order of the samples.

    Raises:
        EdgecError: EC1001 to EC1004 as for training, EC07xx for the data.
    """
    network = import_network(model)
    options = FitOptions(batch=batch, loss=Loss.LABELS)
    samples = read_samples(data, model, options)
    objective = Objective.of(network.module, options, labelled=True)
    runner = BatchRunner(network.module, samples)
    parameters = dict(network.module.named_parameters())
    for chosen in islice(batches(samples, options, seed, 0), steps):
        network.module.zero_grad(set_to_none=True)
        objective(runner(network.module, chosen.inputs), chosen, ()).backward()
        found: Gradients = {}
        for weight in network.weights:
            gradient = parameters[weight.path].grad if weight.path in parameters else None
            if gradient is not None:
                array = gradient.numpy().copy()
                found |= dict.fromkeys(weight.uses, array.T if weight.transposed else array)
        yield found
