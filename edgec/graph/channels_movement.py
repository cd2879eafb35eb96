"""Channels through operators that move elements: the same move is done on the arrays of channels."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgec.graph.channels_classes import Channels
from edgec.graph.channels_trace import ChannelTrace, UntraceableError, constant_tensor, integers, shape_of


def reshape(trace: ChannelTrace, node: ir.Node) -> None:
    """Reshape and Flatten: a channel shuffle, the step from convolutions to dense layers, the heads of attention."""
    source = _source(trace, node)
    if node.op_type == "Reshape" and constant_tensor(node.inputs[1]) is None:
        raise UntraceableError("its shape is computed at run time")
    moved = _full(trace, source).reshape(shape_of(node.outputs[0]))
    trace.give(node.outputs[0], trace.settle(moved))


def squeeze(trace: ChannelTrace, node: ir.Node) -> None:
    """Squeeze and Unsqueeze: axes of extent 1 come and go."""
    source = _source(trace, node)
    axis, channels = trace.varying_axis(source), trace.channels[source]
    target = [1] * len(shape_of(node.outputs[0]))
    if axis is not None:
        # The order of the other axes stays, so that the position is the number of long axes before it.
        shape = shape_of(node.outputs[0])
        before = math.prod(shape_of(source)[:axis])
        where = next(i for i, extent in enumerate(shape) if extent > 1 and math.prod(shape[:i]) == before)
        target[where] = channels.size
    trace.give(node.outputs[0], channels.reshape(target))


def transpose(trace: ChannelTrace, node: ir.Node) -> None:
    """Transpose."""
    source = _source(trace, node)
    channels = trace.channels[source]
    order = node.attributes.get_ints("perm", None) or tuple(reversed(range(channels.ndim)))
    trace.give(node.outputs[0], channels.transpose(order))


def concatenate(trace: ChannelTrace, node: ir.Node) -> None:
    """Concat: along the channels they stand side by side, along another axis they are tied."""
    rank = len(shape_of(node.outputs[0]))
    axis = node.attributes.get_int("axis", 0) % rank
    parts: list[Channels] = []
    for value in node.inputs:
        channels = trace.channels[value] if value in trace.channels else np.zeros((1,) * rank, np.int64)
        wanted = [shape_of(value)[axis] if number == axis else extent for number, extent in enumerate(channels.shape)]
        parts.append(np.broadcast_to(channels, wanted))
    across = np.broadcast_shapes(*(tuple(1 if n == axis else e for n, e in enumerate(p.shape)) for p in parts))
    spread = [
        np.broadcast_to(p, [p.shape[n] if n == axis else across[n] for n in range(rank)]) for p in parts if p.size
    ]
    channels = trace.settle(np.concatenate(spread, axis=axis))
    varying = next((number for number, extent in enumerate(channels.shape) if extent > 1), None)
    for position, value in enumerate(node.inputs):
        if value not in trace.channels and varying not in (None, axis):
            trace.follow(node, position, varying or 0, channels.ravel())
    trace.give(node.outputs[0], channels)


def split(trace: ChannelTrace, node: ir.Node) -> None:
    """Split: every output has its part of the channels."""
    source = _source(trace, node)
    channels = trace.channels[source]
    axis = node.attributes.get_int("axis", 0) % channels.ndim
    start = 0
    for output in node.outputs:
        extent = shape_of(output)[axis]
        part = channels if channels.shape[axis] == 1 else _cut(channels, axis, start, start + extent)
        trace.give(output, part)
        start += extent


def slice_(trace: ChannelTrace, node: ir.Node) -> None:
    """Slice with constant bounds; steps other than 1 only across the channels."""
    source = _source(trace, node)
    shape, channels = shape_of(source), trace.channels[source]
    starts, ends = integers(node, "starts", 1) or (), integers(node, "ends", 2) or ()
    axes = integers(node, "axes", 3) or tuple(range(len(starts)))
    steps = integers(node, "steps", 4) or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        number = axis % len(shape)
        if channels.shape[number] == 1:
            continue
        if step != 1:
            raise UntraceableError(f"it takes every {step}th channel")
        first, last, _ = slice(start, end).indices(shape[number])
        channels = _cut(channels, number, first, max(first, last))
    trace.give(node.outputs[0], channels)


def gather(trace: ChannelTrace, node: ir.Node) -> None:
    """Gather with constant indices."""
    source = _source(trace, node)
    channels = trace.channels[source]
    axis = node.attributes.get_int("axis", 0) % channels.ndim
    tensor = constant_tensor(node.inputs[1])
    if tensor is None:
        raise UntraceableError("its indices are computed at run time")
    indices = tensor.numpy().astype(np.int64)
    if channels.shape[axis] > 1 and indices.ndim > 1:
        raise UntraceableError("it arranges channels on several axes")
    if channels.shape[axis] == 1:
        indices = np.zeros((1,) * indices.ndim, np.int64)
    trace.give(node.outputs[0], trace.settle(np.take(channels, indices, axis=axis)))


def spread(trace: ChannelTrace, node: ir.Node) -> None:
    """Expand and Tile."""
    source = _source(trace, node)
    channels, shape = trace.channels[source], shape_of(node.outputs[0])
    axis = trace.varying_axis(source)
    channels = channels.reshape((1,) * (len(shape) - channels.ndim) + channels.shape)
    if axis is not None:
        axis += len(shape) - len(shape_of(source))
        repeats = shape[axis] // channels.shape[axis]
        channels = np.concatenate([channels] * repeats, axis=axis)
    trace.give(node.outputs[0], channels)


def depth_to_space(trace: ChannelTrace, node: ir.Node) -> None:
    """DepthToSpace: the channels that become one channel are tied."""
    source = _source(trace, node)
    b = node.attributes.get_int("blocksize", 1)
    n, c, h, w = shape_of(source)
    if node.attributes.get_string("mode", "DCR") == "CRD":
        moved = _full(trace, source).reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        moved = _full(trace, source).reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    trace.give(node.outputs[0], trace.settle(moved.reshape(shape_of(node.outputs[0])), axis=1))


def space_to_depth(trace: ChannelTrace, node: ir.Node) -> None:
    """SpaceToDepth: a channel becomes several that are removed together."""
    source = _source(trace, node)
    b = node.attributes.get_int("blocksize", 1)
    n, c, h, w = shape_of(source)
    trace.vector(source, 1)
    moved = _full(trace, source).reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    trace.give(node.outputs[0], trace.settle(moved.reshape(shape_of(node.outputs[0])), axis=1))


def _source(trace: ChannelTrace, node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None or value not in trace.channels:
        raise UntraceableError("its input is constant")
    return value


def _full(trace: ChannelTrace, value: ir.Value) -> Channels:
    return np.broadcast_to(trace.channels[value], shape_of(value))


def _cut(channels: Channels, axis: int, start: int, end: int) -> Channels:
    part = channels.take(range(start, end), axis=axis)
    if part.size == 0:
        raise UntraceableError("it takes no channel at all")
    return part
