"""A trainable network that rounds as the quantized model will, and the plan that it has learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from brevitas.backport import fx
from torch import nn
from torch.nn.utils import parametrize

from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.training.batch_norm import fold_batch_norms, folded, inserted_norm
from edgec.training.importer import TrainableNetwork
from edgec.training.step_quantizer import BiasRounding, StepQuantizer


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """A network with quantizers.

    Attributes:
        network: its module rounds weights and activations; trained like any other.
        values: the quantizer of each quantized value by its ONNX name.
        transposed: names of the nodes whose weights are transposed in torch.
    """

    network: TrainableNetwork
    values: dict[str, StepQuantizer]
    transposed: frozenset[str]


def insert_quantizers(network: TrainableNetwork, plan: QuantizationPlan, *, power_of_two: bool) -> QuantizedNetwork:
    """Let a network round weights and values as a plan says, in place; scales are learned from there.

    Values that share a quantizer in the plan share its learned scale.

    Args:
        network: imported, perhaps with batch normalisations inserted.
        plan: where to begin.
        power_of_two: whether scales stay powers of two. Batch normalisations must not be inserted then: folded into
            a scale they would make another number of it.
    """
    module = network.module
    transposed = frozenset(
        str(weight.uses[0][0].name)
        for weight in network.weights
        if weight.transposed and weight.path.endswith(".weight")
    )
    values = _insert_values(module, plan, power_of_two)
    for node, layer in _layers(module):
        planned = plan.weights.get(node.meta["onnx_node"])
        if planned is None:
            continue
        axis = planned.quantizer.axis
        if axis is not None and node.meta["onnx_node"] in transposed:
            axis = 1 - axis
        rank = layer.weight.dim()
        quantizer = StepQuantizer(planned.quantizer, axis=axis, rank=rank, power_of_two=power_of_two, one_sample=False)
        parametrize.register_parametrization(layer, "weight", quantizer)
        read = _read_quantizer(module, node)
        if layer.bias is not None and read is not None and inserted_norm(module, node) is None:
            parametrize.register_parametrization(layer, "bias", BiasRounding(quantizer, read))
    module.recompile()
    return QuantizedNetwork(network, values, transposed)


def take_plan(quantized: QuantizedNetwork) -> tuple[TrainableNetwork, QuantizationPlan]:
    """The float network and the plan that together are the trained network.

    Inserted batch normalisations go into the scales and biases, which leaves the integers as they are (but for the sign
    of channels that the normalisation turns round). The network has no quantizers afterwards.
    """
    module = quantized.network.module
    with_bias = {str(weight.uses[0][0].name) for weight in quantized.network.weights if weight.path.endswith(".bias")}
    weights = {}
    for node, layer in _layers(module):
        if parametrize.is_parametrized(layer, "weight"):
            name = node.meta["onnx_node"]
            behind = inserted_norm(module, node)
            norm = None if behind is None else module.get_submodule(behind.target)
            made = _weights(layer, norm, transposed=name in quantized.transposed)
            # What is added behind a MatMul is a bias in torch only; as a weight of the Add it is written back.
            keeps = norm is not None or name in with_bias
            weights[name] = made if keeps else replace(made, bias=None)
    learned: dict[StepQuantizer, Quantizer] = {}
    for quantizer in quantized.values.values():
        learned.setdefault(quantizer, quantizer.learned(quantizer.axis))
    values = {name: learned[quantizer] for name, quantizer in quantized.values.items()}
    _remove_quantizers(module)
    return fold_batch_norms(quantized.network), QuantizationPlan(values, weights)


def _insert_values(module: fx.GraphModule, plan: QuantizationPlan, power_of_two: bool) -> dict[str, StepQuantizer]:
    """One module for each quantizer of the plan, called behind every value that it is for."""
    names: dict[Quantizer, str] = {}
    inserted: dict[str, StepQuantizer] = {}
    for node in list(module.graph.nodes):
        start = plan.values.get(node.meta.get("onnx_value", ""))
        if start is None:
            continue
        if start not in names:
            names[start] = f"activation_quantizer_{len(names)}"
            quantizer = StepQuantizer(start, axis=start.axis, power_of_two=power_of_two, one_sample=True)
            module.add_submodule(names[start], quantizer)
        inserted[node.meta["onnx_value"]] = module.get_submodule(names[start])
        with module.graph.inserting_after(node):
            made = module.graph.call_module(names[start], (node,))
        node.replace_all_uses_with(made)
        made.args = (node,)
    return inserted


def _read_quantizer(module: fx.GraphModule, node: fx.Node) -> StepQuantizer | None:
    """The quantizer of a layer's input, behind padding too: zeros stay zeros."""
    source = node.args[0]
    while source.op == "call_function" and source.target is torch.nn.functional.pad:
        source = source.args[0]
    found = module.get_submodule(source.target) if source.op == "call_module" else None
    return found if isinstance(found, StepQuantizer) else None


def _weights(layer: nn.Module, norm: nn.Module | None, *, transposed: bool) -> QuantizedWeights:
    """The integers of a layer and what they mean, in ONNX's layout."""
    quantizer: StepQuantizer = layer.parametrizations.weight[0]
    integers = quantizer.integers(layer.parametrizations.weight.original)
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    if norm is None:
        learned = quantizer.learned(1 if transposed else 0)
    else:
        factor, shift = folded(layer, norm)
        integers = integers * torch.sign(factor).reshape(-1, *[1] * (integers.dim() - 1))
        # A factor of zero leaves nothing of a channel but its bias; its scale must be positive all the same.
        learned = quantizer.learned(0, np.where(factor == 0, 1.0, factor.abs().numpy()))
        bias = shift.numpy()
    contents = integers.numpy().astype(learned.dtype)
    return QuantizedWeights(learned, contents.T.copy() if transposed else contents, bias)


def _remove_quantizers(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        layer = module.get_submodule(node.target)
        if isinstance(layer, StepQuantizer):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
            continue
        for name in ("weight", "bias"):
            if parametrize.is_parametrized(layer, name):
                parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
    module.recompile()


def _layers(module: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    """The layers that stand for nodes of the ONNX graph."""
    for node in list(module.graph.nodes):
        if node.op == "call_module" and "onnx_node" in node.meta:
            yield node, module.get_submodule(node.target)
