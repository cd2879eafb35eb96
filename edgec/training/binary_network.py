"""A trainable network of which some layers are binary, and the units that it has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from brevitas.backport import fx
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgec.graph.binary_form import BinaryUnit
from edgec.training.batch_norm import fold_batch_norms, folded, insert_batch_norms, inserted_norm
from edgec.training.batches import BatchRunner
from edgec.training.binary_layers import BinaryActivation, BinaryWeights
from edgec.training.importer import TrainableNetwork
from edgec.training.samples import TrainingSamples
from edgec.training.tree_distance import TreeLayer

_MEASURED_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class BinaryNetwork:
    """A network with binary layers, which trains like any other.

    Attributes:
        network: imported.
        units: as they were given, in the network's order.
        batch_norms: how many batch normalisations were put in.
    """

    network: TrainableNetwork
    units: tuple[BinaryUnit, ...]
    batch_norms: int


def insert_units(network: TrainableNetwork, units: Sequence[BinaryUnit], samples: TrainingSamples) -> BinaryNetwork:
    """Make layers of a network binary, in place, and put batch normalisations behind its convolutions.

    Args:
        network: whose layers of the units' names compute in real numbers.
        units: where to begin.
        samples: what the windows of the signs and the normalisations are measured on.
    """
    module = network.module
    wanted = {unit.name: unit for unit in units}
    ordered = []
    for node, layer in _layers(module):
        unit = wanted.get(node.meta["onnx_node"])
        if unit is None:
            continue
        ordered.append(unit)
        _make_binary(layer, unit)
        place = _read_by(node)
        name = f"{node.target}_signs"
        module.add_submodule(name, BinaryActivation(unit.threshold, unit.weights.ndim - 2))
        with module.graph.inserting_before(place):
            made = module.graph.call_module(name, (place.args[0],))
        place.replace_input_with(place.args[0], made)
    module.recompile()
    module.eval()
    _measure_windows(module, samples)
    inserted = insert_batch_norms(network, samples)
    return BinaryNetwork(network, tuple(ordered), inserted)


def tree_layers(binary: BinaryNetwork) -> list[TreeLayer]:
    """The weights of the units, for trees over them."""
    return [TreeLayer(layer.parametrizations.weight.original) for _, layer in _binary_layers(binary.network.module)]


def take_units(binary: BinaryNetwork) -> tuple[TrainableNetwork, list[BinaryUnit]]:
    """The network without anything binary, and what its units have learned.

    Normalisations go into scale and bias. Where that makes a scale negative, the signs of the channel are turned.
    """
    module = binary.network.module
    taken = []
    for unit, (node, layer) in zip(binary.units, list(_binary_layers(module)), strict=True):
        taken.append(_taken(module, node, layer, unit))
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        layer = module.get_submodule(node.target)
        if isinstance(layer, BinaryActivation):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        elif parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    module.recompile()
    return fold_batch_norms(binary.network), taken


def _make_binary(layer: nn.Module, unit: BinaryUnit) -> None:
    """Weights of about one in magnitude under the parametrization, so that one learning rate fits all layers."""
    with torch.no_grad():
        magnitude = layer.weight.abs().flatten(1).mean().clamp_min(1e-12)
        layer.weight.div_(magnitude)
        layer.bias = nn.Parameter(torch.tensor(unit.bias))
    # A scale of 0 could not be learned, because nothing of the weights would reach the output.
    parametrize.register_parametrization(layer, "weight", BinaryWeights(np.where(unit.scale == 0, 1e-6, unit.scale)))


def _taken(module: fx.GraphModule, node: fx.Node, layer: nn.Module, unit: BinaryUnit) -> BinaryUnit:
    scale = layer.parametrizations.weight[0].scale.detach()
    weights = layer.parametrizations.weight.original.detach()
    bias = layer.bias.detach()
    behind = inserted_norm(module, node)
    if behind is not None:
        factor, bias = folded(layer, module.get_submodule(behind.target))
        scale = scale * factor
    turned = torch.where(scale < 0, -1.0, 1.0).reshape(-1, *[1] * (weights.dim() - 1))
    # Not 0 · −1: the sign of −0 is positive.
    rows = torch.where(weights == 0, torch.full_like(weights, 1e-6), weights) * turned
    signs = module.get_submodule(_read_by(node).args[0].target)
    contents = rows.numpy() if unit.axis == 0 else rows.numpy().T
    return replace(
        unit,
        weights=np.array(contents, np.float32, order="C"),
        threshold=signs.threshold.detach().numpy().copy(),
        scale=scale.abs().numpy().copy(),
        bias=bias.detach().numpy().copy(),
    )


def _measure_windows(module: fx.GraphModule, samples: TrainingSamples) -> None:
    """Fit every window to what its input is once those before are fitted."""
    runner = BatchRunner(module, samples)

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layer.measure(inputs[0])

    hooks = [
        layer.register_forward_pre_hook(measure) for layer in module.modules() if isinstance(layer, BinaryActivation)
    ]
    with torch.no_grad():
        runner(module, tuple(tensor[:_MEASURED_SAMPLES] for tensor in samples.inputs))
    for hook in hooks:
        hook.remove()


def _read_by(node: fx.Node) -> fx.Node:
    """The node that reads a layer's input: the layer, or the padding in front of it, whose zeros are no signs."""
    source = node.args[0]
    return source if source.op == "call_function" and source.target is torch.nn.functional.pad else node


def _layers(module: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    for node in list(module.graph.nodes):
        if node.op == "call_module" and "onnx_node" in node.meta:
            yield node, module.get_submodule(node.target)


def _binary_layers(module: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    for node, layer in _layers(module):
        if parametrize.is_parametrized(layer, "weight"):
            yield node, layer
