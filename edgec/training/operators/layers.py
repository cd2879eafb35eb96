"""Layers with weights: convolutions, dense layers, normalisations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import nn
from torch.nn import functional

from edgec.training.graph_writer import GraphWriter, NoTorchFormError, constant_of, copy_into
from edgec.training.operators.padding import window_of
from edgec.training.operators.registry import operator

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@operator("Conv")
def _convolution(writer: GraphWriter, node: ir.Node) -> fx.Node:
    weight, bias = writer.weight(node, 1), writer.constant(node, 2)
    _check_bias(writer, node, bias)
    window = window_of(node, weight.shape[2:])
    x, padding = writer.input(node), window.before
    if not window.symmetric:
        x = writer.call(functional.pad, x, window.torch_pad)
        padding = (0,) * len(window.kernel)
    groups = node.attributes.get_int("group", 1)
    module = _CONVOLUTIONS[weight.ndim - 3](
        *(weight.shape[1] * groups, weight.shape[0], window.kernel, window.strides, padding, window.dilations),
        groups=groups,
        bias=bias is not None,
    )
    return _filled(writer, node, module, weight, bias, x)


@operator("ConvTranspose")
def _transposed_convolution(writer: GraphWriter, node: ir.Node) -> fx.Node:
    weight, bias = writer.weight(node, 1), writer.constant(node, 2)
    _check_bias(writer, node, bias)
    if "output_shape" in node.attributes or node.attributes.get_string("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise NoTorchFormError("its padding follows from the shape of its output")
    window = window_of(node, weight.shape[2:])
    axes, groups = len(window.kernel), node.attributes.get_int("group", 1)
    extra = node.attributes.get_ints("output_padding", [0] * axes)
    padding = tuple(min(pair) for pair in zip(window.before, window.after, strict=True))
    sides = zip(reversed(window.before), reversed(window.after), reversed(padding), strict=True)
    cut = [common - side for before, after, common in sides for side in (before, after)]
    module = _TRANSPOSED[axes - 1](
        *(weight.shape[0], weight.shape[1] * groups, window.kernel, window.strides, padding, tuple(extra)),
        groups=groups,
        bias=bias is not None,
        dilation=window.dilations,
    )
    made = _filled(writer, node, module, weight, bias, writer.input(node))
    if not any(cut):
        return made
    return writer.call(functional.pad, made, cut)


@operator("Gemm")
def _dense(writer: GraphWriter, node: ir.Node) -> fx.Node:
    weight, bias = writer.constant(node, 1), writer.constant(node, 2)
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    turned = bool(node.attributes.get_int("transB", 0))
    x = writer.input(node)
    if node.attributes.get_int("transA", 0):
        x = writer.call(torch.t, x)
    width = 0 if weight is None else weight.shape[0 if turned else 1]
    as_vector = bias is None or bias.shape == (width,)
    if weight is None or alpha != 1.0 or (writer.has(node, 2) and (beta != 1.0 or not as_vector or bias is None)):
        return _matrix_product(writer, node, x, (alpha, beta), turned)
    matrix = weight if turned else weight.T
    module = nn.Linear(matrix.shape[1], matrix.shape[0], bias is not None)
    return _filled(writer, node, module, matrix, bias, x, transposed=not turned)


def _matrix_product(
    writer: GraphWriter, node: ir.Node, x: fx.Node, factors: tuple[float, float], turned: bool
) -> fx.Node:
    """A Gemm that is no plain dense layer; its constants are not trained."""
    y = writer.call(torch.t, writer.input(node, 1)) if turned else writer.input(node, 1)
    product = writer.call(torch.mul, writer.call(torch.matmul, x, y), factors[0])
    if not writer.has(node, 2):
        return product
    return writer.call(torch.add, product, writer.call(torch.mul, writer.input(node, 2), factors[1]))


@operator("MatMul")
def _matmul(writer: GraphWriter, node: ir.Node) -> fx.Node:
    weight = writer.constant(node, 1)
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return writer.call(torch.matmul, writer.input(node), writer.input(node, 1))
    following = _bias_of(node, weight.shape[1])
    module = nn.Linear(weight.shape[0], weight.shape[1], following is not None)
    copy_into(module.weight, weight.T)
    places: list[tuple[str, tuple[ir.Node, int]]] = [("weight", (node, 1))]
    if following is not None:
        add, index = following
        copy_into(module.bias, writer.weight(add, index))
        places.append(("bias", (add, index)))
    made = writer.weighted_layer(node, module, places, writer.input(node), transposed=True)
    if following is not None:
        writer.store(following[0].outputs[0], made)
    return made


def _bias_of(node: ir.Node, width: int) -> tuple[ir.Node, int] | None:
    """The Add of a constant vector that is all that reads a MatMul, and which of its inputs is the vector."""
    product = node.outputs[0]
    uses = list(product.uses())
    if len(uses) != 1 or product.is_graph_output() or uses[0][0].op_type != "Add":
        return None
    add, index = uses[0]
    other = add.inputs[1 - index]
    contents = None if other is None else constant_of(other)
    return (add, 1 - index) if contents is not None and contents.shape == (width,) else None


class AnyRankBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation along axis 1 of any number of axes."""

    def _check_input_dim(self, _: torch.Tensor) -> None:
        return


_NORMALISATIONS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@operator("BatchNormalization")
def _batch_norm(writer: GraphWriter, node: ir.Node) -> fx.Node:
    if len(node.outputs) > 1 and any(output.uses() for output in node.outputs[1:]):
        raise NoTorchFormError("it is in training mode")
    names = ("weight", "bias", "running_mean", "running_var")
    contents = [writer.weight(node, index) for index in range(1, 5)]
    kind = _NORMALISATIONS.get(writer.rank(node), AnyRankBatchNorm)
    momentum = 1 - node.attributes.get_float("momentum", 0.9)
    module = kind(len(contents[0]), node.attributes.get_float("epsilon", 1e-5), momentum)
    for name, values in zip(names, contents, strict=True):
        copy_into(getattr(module, name), values)
    places = [(name, (node, index)) for index, name in enumerate(names, start=1)]
    return writer.weighted_layer(node, module, places, writer.input(node))


@operator("InstanceNormalization")
def _instance_norm(writer: GraphWriter, node: ir.Node) -> fx.Node:
    scale = writer.weight(node, 1)
    return _normalised(writer, node, nn.GroupNorm(len(scale), len(scale), node.attributes.get_float("epsilon", 1e-5)))


@operator("GroupNormalization")
def _group_norm(writer: GraphWriter, node: ir.Node) -> fx.Node:
    scale, bias = writer.weight(node, 1), writer.weight(node, 2)
    groups, epsilon = node.attributes.get_int("num_groups"), node.attributes.get_float("epsilon", 1e-5)
    # Before opset 21 each group has a scale, afterwards each channel.
    if writer.opset >= 21:
        module = nn.GroupNorm(groups, len(scale), epsilon)
        return _filled(writer, node, module, scale, bias, writer.input(node))
    normal = writer.call(functional.group_norm, writer.input(node), groups, None, None, epsilon)
    return writer.call(_scaled_by_group, normal, writer.trained(node, 1), writer.trained(node, 2))


def _scaled_by_group(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    by_group = x.unflatten(1, (scale.numel(), -1))
    shape = (1, -1, *(1,) * (by_group.dim() - 2))
    return (by_group * scale.reshape(shape) + bias.reshape(shape)).flatten(1, 2)


@operator("LayerNormalization")
def _layer_norm(writer: GraphWriter, node: ir.Node) -> fx.Node:
    scale = writer.weight(node, 1)
    axis = node.attributes.get_int("axis", -1)
    if axis % writer.rank(node) != writer.rank(node) - scale.ndim:
        raise NoTorchFormError("its scale does not span the axes that it normalises")
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    return _normalised(writer, node, nn.LayerNorm(scale.shape, epsilon, bias=writer.has(node, 2)))


@operator("PRelu")
def _prelu(writer: GraphWriter, node: ir.Node) -> fx.Node:
    slope = writer.weight(node, 1)
    if slope.size == 1:
        return writer.call(functional.prelu, writer.input(node), writer.input(node, 1))
    x = writer.input(node)
    return writer.call(_parametric_relu, x, writer.trained(node, 1))


def _parametric_relu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return torch.where(x < 0, x * slope, x)


def _check_bias(writer: GraphWriter, node: ir.Node, bias: np.ndarray | None) -> None:
    if writer.has(node, 2) and bias is None:
        raise NoTorchFormError("its bias is computed at run time")


def _normalised(writer: GraphWriter, node: ir.Node, module: nn.Module) -> fx.Node:
    weight = writer.weight(node, 1)
    bias = writer.weight(node, 2) if writer.has(node, 2) else None
    return _filled(writer, node, module, weight, bias, writer.input(node))


def _filled(
    writer: GraphWriter,
    node: ir.Node,
    module: nn.Module,
    weight: np.ndarray,
    bias: np.ndarray | None,
    x: fx.Node,
    *,
    transposed: bool = False,
) -> fx.Node:
    """Call a module whose weight and bias are inputs 1 and 2 of the node."""
    copy_into(module.weight, weight)
    places: list[tuple[str, tuple[ir.Node, int]]] = [("weight", (node, 1))]
    if bias is not None:
        copy_into(module.bias, bias)
        places.append(("bias", (node, 2)))
    return writer.weighted_layer(node, module, places, x, transposed=transposed)
