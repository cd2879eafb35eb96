"""Binary layers of a model read back as units, and what is left of the model without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.binary_form import BinaryUnit
from edgec.graph.quantization_qonnx import QONNX_DOMAIN
from edgec.passes.binary_layers import real_weights, signed_source
from edgec.passes.graph_edit import Names, add_constant, constant, input_of, only_consumer, replace_value
from edgec.passes.remove_dead_code import remove_dead_code


def take_units(model: ir.Model) -> list[BinaryUnit]:
    """The layers with signs for weights and inputs, in order; their nodes compute in real numbers afterwards, in place.

    Found in the form of `edgec.graph.binary_form`, with QONNX's scales, and as both look once functions are inlined and
    constants folded. Layers with groups are left alone.
    """
    names = Names(model)
    units = [unit for node in list(model.graph) if (unit := _take(model, names, node))]
    remove_dead_code(model)
    return units


def take_rounding(model: ir.Model) -> list[str]:
    """Let QuantizeLinear with DequantizeLinear, and QONNX's Quant, go, in place.

    Returns:
        The names of the nodes whose weights were rounded.
    """
    names, rounded = Names(model), []
    for node in list(model.graph):
        source, result = node.inputs[0] if node.inputs else None, node.outputs[0]
        if source is None or (node.domain, node.op_type) not in (("", "DequantizeLinear"), (QONNX_DOMAIN, "Quant")):
            continue
        contents = real_weights(result) if node.domain == "" else constant(source)
        if contents is not None:
            rounded += [str(reader.name) for reader, place in result.uses() if place == 1]
            source = add_constant(model.graph, names.fresh(f"{result.name}.real"), contents)
        elif node.domain == "":
            quantize = source.producer()
            if quantize is None or quantize.op_type != "QuantizeLinear" or quantize.inputs[0] is None:
                continue
            source = quantize.inputs[0]
        replace_value(result, source, names)
    remove_dead_code(model)
    return rounded


def _take(model: ir.Model, names: Names, node: ir.Node) -> BinaryUnit | None:
    if node.domain != "" or node.op_type not in ("Conv", "Gemm", "MatMul"):
        return None
    source, weights = signed_source(input_of(node, 0)), real_weights(input_of(node, 1))
    if source is None or weights is None or weights.dtype != np.float32 or node.attributes.get_int("group", 1) != 1:
        return None
    axis = 1 if node.op_type == "MatMul" or (node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)) else 0
    rows = np.abs(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1))
    bias = constant(input_of(node, 2))
    if not (rows[:, 0] > 0).all() or (rows != rows[:, :1]).any() or (bias is None and len(node.inputs) > 2):
        return None
    channels = weights.shape[1 - axis]
    scale = rows[:, 0] * source[1]
    shift = np.zeros(len(scale), np.float32) if bias is None else bias.reshape(-1)
    read, threshold = _before(source[0], channels, weights.ndim - 2)
    last, factor, more = _behind(node.outputs[0], len(scale), weights.ndim - 2)
    node.replace_input_with(0, read)
    real = _trained_weights(input_of(node, 1))
    latent = np.array(weights if real is None else real, np.float32)
    node.replace_input_with(1, add_constant(model.graph, names.fresh(f"{node.name}.real"), latent))
    if len(node.inputs) > 2:
        node.resize_inputs(2)
    if last is not node.outputs[0]:
        replace_value(last, node.outputs[0], names)
    scale, shift = scale * factor, shift * factor + more
    return BinaryUnit(str(node.name), latent, axis, threshold, scale.astype(np.float32), shift.astype(np.float32))


def _trained_weights(value: ir.Value | None) -> np.ndarray | None:
    """The real numbers that BipolarQuant takes the signs of."""
    node = None if value is None else value.producer()
    if node is None or (node.domain, node.op_type) != (QONNX_DOMAIN, "BipolarQuant"):
        return None
    return constant(node.inputs[0])


def _before(source: ir.Value, channels: int, spatial: int) -> tuple[ir.Value, np.ndarray]:
    """What the threshold is taken from, and the threshold of each channel."""
    node = source.producer()
    nothing = np.zeros(channels, np.float32)
    if node is None or node.domain != "" or node.op_type != "Add" or only_consumer(source) is None:
        return source, nothing
    found = _per_channel(node, channels, spatial)
    return (source, nothing) if found is None else (found[0], -found[1])


def _behind(product: ir.Value, channels: int, spatial: int) -> tuple[ir.Value, np.ndarray, np.ndarray]:
    """The last value of scale and bias behind a product, and both."""
    scale, bias = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    for op_type in ("Mul", "Add"):
        node = only_consumer(product)
        found = None if node is None or node.op_type != op_type else _per_channel(node, channels, spatial)
        if node is not None and found is not None and found[0] is product:
            scale, bias = (found[1], bias) if op_type == "Mul" else (scale, found[1])
            product = node.outputs[0]
    return product, scale, bias


def _per_channel(node: ir.Node, channels: int, spatial: int) -> tuple[ir.Value, np.ndarray] | None:
    """The computed input of a sum or product, and the constant for each channel that is the other one."""
    for index in (0, 1):
        contents, other = constant(input_of(node, index)), input_of(node, 1 - index)
        if contents is None or other is None or contents.dtype != np.float32:
            continue
        shape: Sequence[int] = contents.shape
        trailing = tuple(shape[len(shape) - spatial :]) if spatial else ()
        if contents.size == channels and trailing == (1,) * spatial and max(shape, default=1) == channels:
            return other, contents.reshape(-1)
    return None
