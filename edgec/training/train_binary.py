"""Training of a model with binary layers, from ONNX and where to begin to what the layers have learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from edgec.core.cache import Cache
from edgec.core.data import DataSource
from edgec.core.progress import Progress
from edgec.graph.binary_form import BinaryUnit
from edgec.training.binary_network import insert_units, take_units, tree_layers
from edgec.training.fit import FitOutcome, TrainingRun, fit
from edgec.training.importer import TrainableNetwork, import_network
from edgec.training.options import FitOptions
from edgec.training.samples import TrainingSamples, read_samples
from edgec.training.tree_distance import TreePenalty, pull_to_centre
from edgec.training.write_back import write_back


@dataclass(frozen=True)
class TreeTraining:
    """How training makes trees short.

    Attributes:
        weight: λ, what the share of weights that are left costs.
        rising: share of the steps over which λ rises from 0.
        refresh: steps between two looks for the lightest trees.
        centre: how far weights move towards those of their tree's root before training, 0 to 1.
    """

    weight: float
    rising: float
    refresh: int
    centre: float


@dataclass(frozen=True, eq=False)
class Teacher:
    """The network whose outputs are distilled.

    Attributes:
        model: without binary nodes.
        units: that are binary in it.
    """

    model: ir.Model
    units: tuple[BinaryUnit, ...] = ()

    def network(self, samples: TrainingSamples) -> torch.nn.Module:
        """In torch, in eval mode."""
        network = import_network(self.model)
        if self.units:
            insert_units(network, self.units, samples)
        return network.module.to(memory_format=torch.channels_last).eval()


@dataclass(frozen=True, eq=False)
class BinaryTraining:
    """What came out.

    Attributes:
        units: trained; all else is in the model that was given.
        outcome: of the training.
        batch_norms: how many batch normalisations were put in for it.
    """

    units: tuple[BinaryUnit, ...]
    outcome: FitOutcome
    batch_norms: int


def train_binary(
    model: ir.Model,
    units: Sequence[BinaryUnit],
    data: DataSource,
    options: FitOptions,
    *,
    teacher: Teacher,
    tree: TreeTraining | None,
    name: str,
    seed: int,
    progress: Progress,
    cache: Cache | None = None,
) -> BinaryTraining:
    """Train a model with some of its layers binary; weights of other layers are written into it, in place.

    Args:
        model: without binary nodes.
        units: its binary layers, to begin with.
        data: its `train` split is used.
        options: how to train.
        teacher: what is distilled, if anything is.
        tree: None to leave trees as they come.
        name: of the pass.
        seed: of order and augmentation.
        progress: told of every step.
        cache: keeps the state after each epoch.

    Raises:
        EdgecError: EC1001 to EC1005, and EC07xx for the data.
    """
    network: TrainableNetwork = import_network(model)
    samples = read_samples(data, model, options)
    taught = teacher.network(samples)
    binary = insert_units(network, units, samples)
    network.module.to(memory_format=torch.channels_last)
    penalty = None
    if tree is not None:
        layers = tree_layers(binary)
        for layer in layers:
            pull_to_centre(layer, tree.centre)
        steps = options.epochs * (samples.count // options.batch)
        penalty = TreePenalty(layers, weight=tree.weight, rising=int(tree.rising * steps), refresh=tree.refresh)
        network.module.add_module("trees", penalty)
    outcome = fit(network.module, samples, options, TrainingRun(name, seed, taught, progress, cache, penalty))
    plain, trained = take_units(binary)
    write_back(plain)
    return BinaryTraining(tuple(trained), outcome, binary.batch_norms)
