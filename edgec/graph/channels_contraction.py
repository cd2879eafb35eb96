"""Channels through convolutions and matrix products: they read some channels and make others."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.channels_classes import Channels
from edgec.graph.channels_trace import (
    ChannelTrace,
    ConstantAxis,
    Contraction,
    Role,
    UntraceableError,
    along,
    constant_tensor,
    shape_of,
)


def convolution(trace: ChannelTrace, node: ir.Node) -> None:
    """Conv and ConvTranspose.

    Case 1: one group. Every input channel is read, every output channel is new.
    Case 2: few wide groups. The same channels are removed from every group: the number of groups stays.
    Case 3: many narrow groups, depthwise ones above all. Groups are removed as wholes, with their outputs.
    """
    transposed = node.op_type == "ConvTranspose"
    weights = _weights(node)
    rank = len(shape_of(node.outputs[0]))
    inputs = trace.vector(_activation(node), 1)
    outputs = shape_of(node.outputs[0])[1]
    groups = node.attributes.get_int("group", 1)
    if weights.shape[0] != (inputs.size if transposed else outputs) or groups < 1 or inputs.size % groups:
        raise UntraceableError("its weights do not fit its channels")
    consumed_axis, produced_axis = (0, 1) if transposed else (1, 0)
    per_group = inputs.reshape(groups, -1)
    if groups > 1 and groups >= per_group.shape[1]:
        heads = per_group[:, 0]
        trace.classes.tie(heads[:, None], per_group)
        made = np.repeat(heads, outputs // groups)
        trace.constant_axes.append(ConstantAxis(node, 1, 0, inputs if transposed else made, Role.PRODUCES))
        trace.contractions.append(Contraction(node, (heads,), groups=heads))
    else:
        trace.classes.tie(per_group[:1], per_group)
        within = trace.classes.new(outputs // groups)
        made = np.tile(within, groups)
        read = inputs if transposed else per_group[0]
        written = within if transposed else made
        trace.constant_axes.append(ConstantAxis(node, 1, consumed_axis, read, Role.CONSUMES))
        trace.constant_axes.append(ConstantAxis(node, 1, produced_axis, written, Role.PRODUCES))
        trace.contractions.append(Contraction(node, (per_group[0], within)))
    if len(node.inputs) > 2:
        trace.follow(node, 2, 0, made)
    trace.give(node.outputs[0], along(made, 1, rank))


def gemm(trace: ChannelTrace, node: ir.Node) -> None:
    """Gemm with a constant matrix, and a constant bias if it has one."""
    _weights(node)
    if node.attributes.get_int("transA", 0):
        raise UntraceableError("it transposes its input")
    consumed_axis, produced_axis = (1, 0) if node.attributes.get_int("transB", 0) else (0, 1)
    made = _product(trace, node, trace.vector(_activation(node), 1), consumed_axis, produced_axis)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        shape = shape_of(bias)
        if shape and shape[-1] == made.size:
            trace.follow(node, 2, len(shape) - 1, made)
        elif constant_tensor(bias) is None:
            raise UntraceableError(f"its input `{bias.name}` is not constant")
    trace.give(node.outputs[0], along(made, 1, 2))


def matrix_product(trace: ChannelTrace, node: ir.Node) -> None:
    """MatMul by a constant matrix, or of two values computed at run time, as in attention."""
    left, right = node.inputs
    rank = len(shape_of(node.outputs[0]))
    if left in trace.channels and right in trace.channels:
        _product_of_values(trace, node)
        return
    if left not in trace.channels or len(_weights(node).shape) != 2:
        raise UntraceableError("only a constant matrix on the right is followed")
    last = len(shape_of(left)) - 1
    made = _product(trace, node, trace.vector(_activation(node), last), 0, 1)
    trace.give(node.outputs[0], along(made, rank - 1, rank))


def _product(trace: ChannelTrace, node: ir.Node, read: Channels, consumed: int, produced: int) -> Channels:
    made = trace.classes.new(shape_of(node.outputs[0])[-1])
    trace.constant_axes.append(ConstantAxis(node, 1, consumed, read, Role.CONSUMES))
    trace.constant_axes.append(ConstantAxis(node, 1, produced, made, Role.PRODUCES))
    trace.contractions.append(Contraction(node, (read, made)))
    return made


def _product_of_values(trace: ChannelTrace, node: ir.Node) -> None:
    """Channels that are summed over, or that count matrices, must be the same on both sides; others stay."""
    left, right = (value for value in node.inputs if value is not None)
    rank = len(shape_of(node.outputs[0]))
    offsets = {value: rank - len(shape_of(value)) for value in (left, right)}
    if min(len(shape_of(left)), len(shape_of(right))) < 2:
        raise UntraceableError("it multiplies vectors")
    on_left, on_right = (_aligned(trace, value, offsets[value]) for value in (left, right))
    summed = on_left == rank - 1 or on_right == rank - 2
    if summed and on_left in (None, rank - 1) and on_right in (None, rank - 2):
        channels = trace.vector(left, -1)
        trace.classes.tie(channels, trace.vector(right, -2))
        trace.contractions.append(Contraction(node, (channels,)))
        trace.give_frozen(node.outputs[0], "it is the result of a product of two computed matrices")
        return
    axes = {axis for axis in (on_left, on_right) if axis is not None}
    if summed or len(axes) > 1:
        raise UntraceableError("its inputs have channels on different axes")
    if not axes:
        raise UntraceableError("its inputs have no channels that could be removed")
    axis = axes.pop()
    vectors = [
        trace.vector(value, axis - offsets[value])
        for value, own in ((left, on_left), (right, on_right))
        if own is not None
        or (axis < rank - 2 and axis >= offsets[value] and shape_of(value)[axis - offsets[value]] > 1)
    ]
    trace.classes.tie(vectors[0], vectors[-1])
    trace.contractions.append(Contraction(node, (vectors[0],)))
    trace.give(node.outputs[0], along(vectors[0], axis, rank))


def _aligned(trace: ChannelTrace, value: ir.Value, offset: int) -> int | None:
    axis = trace.varying_axis(value)
    return None if axis is None else axis + offset


def _activation(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None or constant_tensor(value) is not None:
        raise UntraceableError("its input is constant")
    return value


def _weights(node: ir.Node) -> ir.TensorProtocol:
    tensor = constant_tensor(node.inputs[1])
    if tensor is None:
        raise UntraceableError("its weights are computed at run time")
    if tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        raise UntraceableError(f"its weights are {tensor.dtype.name.lower()}")
    return tensor
