"""Batch normalisation put back behind convolutions, and folded into them again.

Exporters fold batch normalisation into the convolution before it, and a deep network trains badly without. Put back
with the statistics of the convolution's own output it changes nothing at first, and trains as before the export.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor, nn

from edgec.training.batches import BatchRunner
from edgec.training.graph_writer import Weight
from edgec.training.importer import TrainableNetwork
from edgec.training.samples import TrainingSamples

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALISATIONS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MEASURED_SAMPLES = 1024
_MEASURED_AT_ONCE = 64
_SUFFIX = "_normalised"


class _Moments:
    """Count, sum and sum of squares of the channels of a convolution's output."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def __call__(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        axes = [0, *range(2, output.dim())]
        numbers = output.double()
        self.count += output.numel() // output.shape[1]
        self.total = self.total + numbers.sum(axes)
        self.squares = self.squares + numbers.square().sum(axes)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def variance(self) -> Tensor:
        return (self.squares / self.count - self.mean.square()).clamp_min(0)


def insert_batch_norms(network: TrainableNetwork, samples: TrainingSamples, *, leave: Collection[str] = ()) -> int:
    """Put a batch normalisation behind every convolution that has none, in place; how many.

    Nothing is inserted in a network that runs samples one by one: one sample has no statistics to train with.

    Args:
        network: imported.
        samples: to measure statistics on.
        leave: names of ONNX nodes that get none.
    """
    module = network.module
    runner = BatchRunner(module, samples)
    if not runner.at_once:
        return 0
    places = [
        node
        for node in _convolutions(module)
        if _norm_behind(module, node) is None and node.meta["onnx_node"] not in leave
    ]
    moments = {node: _Moments() for node in places}
    hooks = [module.get_submodule(node.target).register_forward_hook(moments[node]) for node in places]
    with torch.no_grad():
        for start in range(0, min(samples.count, _MEASURED_SAMPLES), _MEASURED_AT_ONCE):
            runner(module, tuple(tensor[start : start + _MEASURED_AT_ONCE] for tensor in samples.inputs))
    for hook in hooks:
        hook.remove()
    for node in places:
        norm = _identity_norm(module.get_submodule(node.target), moments[node])
        name = f"{node.target}{_SUFFIX}"
        module.add_submodule(name, norm)
        with module.graph.inserting_after(node):
            made = module.graph.call_module(name, (node,))
        node.replace_all_uses_with(made)
        made.args = (node,)
        # The values of the ONNX graph are those behind the normalisation, which is part of the convolution there.
        made.meta = {"onnx_value": node.meta.pop("onnx_value")}
    module.recompile()
    return len(places)


def fold_batch_norms(network: TrainableNetwork) -> TrainableNetwork:
    """Fold what `insert_batch_norms` put in into the convolutions; those of the model itself stay."""
    module = network.module
    weights = list(network.weights)
    nodes = {node.name: node for node in network.model.graph}
    for node in list(_convolutions(module)):
        behind = inserted_norm(module, node)
        if behind is None:
            continue
        layer, norm = module.get_submodule(node.target), module.get_submodule(behind.target)
        had_bias = layer.bias is not None
        scale, shift = folded(layer, norm)
        with torch.no_grad():
            layer.weight.mul_(per_output(layer, scale))
            layer.bias = nn.Parameter(shift)
        if not had_bias:
            onnx_node: ir.Node = nodes[node.meta["onnx_node"]]
            weights.append(Weight(f"{node.target}.bias", f"{onnx_node.name}.bias", ((onnx_node, 2),)))
        node.meta["onnx_value"] = behind.meta["onnx_value"]
        behind.replace_all_uses_with(node)
        module.graph.erase_node(behind)
        module.delete_submodule(behind.target)
    module.recompile()
    return replace(network, weights=tuple(weights))


def inserted_norm(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The batch normalisation that `insert_batch_norms` put behind a layer; None if it did not."""
    behind = _norm_behind(module, node)
    return behind if behind is not None and str(behind.target).endswith(_SUFFIX) else None


def folded(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """The factor of each output channel of a convolution, and its bias, that stand for it and its normalisation."""
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = layer.bias if layer.bias is not None else torch.zeros_like(scale)
        return scale, (bias - norm.running_mean) * scale + norm.bias


def per_output(layer: nn.Module, numbers: Tensor) -> Tensor:
    """A number for each output channel in a shape that multiplies the weights of a layer."""
    trailing = [1] * (layer.weight.dim() - 2)
    if not isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return numbers.reshape(-1, 1, *trailing)
    inputs_of_group = layer.weight.shape[0] // layer.groups
    return (
        numbers.reshape(layer.groups, 1, -1)
        .expand(-1, inputs_of_group, -1)
        .reshape(layer.weight.shape[0], -1, *trailing)
    )


def _convolutions(module: fx.GraphModule) -> Iterator[fx.Node]:
    for node in module.graph.nodes:
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), _CONVOLUTIONS):
            yield node


def _norm_behind(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The batch normalisation that reads a convolution."""
    for user in node.users:
        if user.op == "call_module" and isinstance(module.get_submodule(user.target), nn.modules.batchnorm._BatchNorm):
            return user
    return None


def _identity_norm(layer: nn.Module, moments: _Moments) -> nn.Module:
    """A batch normalisation that in eval mode gives back what it is given."""
    norm = _NORMALISATIONS[layer.weight.dim() - 2](moments.mean.numel())
    with torch.no_grad():
        norm.running_mean.copy_(moments.mean)
        norm.running_var.copy_(moments.variance)
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(moments.mean)
    return norm.eval()
