"""Channels through operators that keep them where they are: element by element, window by window, normalisations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.channels_trace import (
    ChannelTrace,
    UntraceableError,
    along,
    constant_tensor,
    integers,
    shape_of,
    varying_axis,
)

# Operators whose output element depends on the elements of their inputs at the same place, after broadcasting.
_POINTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp
    Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max
    Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
POINTWISE = frozenset(_POINTWISE.split())

# Operators that look at a neighbourhood on the axes from the third on.
_WINDOWED = "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool Resize Upsample"
WINDOWED = frozenset(_WINDOWED.split())

_REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
REDUCTIONS = frozenset(_REDUCTIONS.split())


def pointwise(trace: ChannelTrace, node: ir.Node) -> None:
    """Channels that meet are tied; constants follow the channels; what is broadcast over them is not affected."""
    shape = shape_of(node.outputs[0])
    rank = len(shape)
    operands = [value for value in node.inputs if value is not None]
    offsets = {value: rank - len(shape_of(value)) for value in operands}
    axes = {
        varying_axis(trace.channels[value]) + offsets[value]  # type: ignore[operator]
        for value in operands
        if value in trace.channels and trace.varying_axis(value) is not None
    }
    if len(axes) != 1:
        raise UntraceableError("its inputs have channels on different axes" if axes else "no input has channels")
    axis = axes.pop()

    def spans(value: ir.Value) -> bool:
        own = axis - offsets[value]
        return own >= 0 and shape_of(value)[own] > 1

    computed = [value for value in operands if value in trace.channels and spans(value)]
    vectors = [trace.vector(value, axis - offsets[value]) for value in computed]
    for vector in vectors[1:]:
        trace.classes.tie(vectors[0], vector)
    for position, value in enumerate(node.inputs):
        if value is not None and value not in trace.channels and spans(value):
            trace.follow(node, position, axis - offsets[value], vectors[0])
    for output in node.outputs:
        trace.give(output, along(vectors[0], axis, rank))


def windowed(trace: ChannelTrace, node: ir.Node) -> None:
    """Pooling and resizing: channels on the first two axes pass."""
    source = _source(node)
    axis = trace.varying_axis(source)
    shape = shape_of(node.outputs[0])
    if axis is not None and (len(shape) != len(shape_of(source)) or shape[axis] != shape_of(source)[axis]):
        raise UntraceableError(f"it changes the extent of axis {axis}, on which the channels stand")
    if axis is not None and axis > 1 and node.op_type not in ("Resize", "Upsample"):
        raise UntraceableError(f"it mixes neighbours on axis {axis}, on which the channels stand")
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise UntraceableError("its second output counts places across channels")
    if node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        raise UntraceableError("it crops")
    for output in node.outputs:
        trace.give(output, trace.channels[source])


def normalisation(trace: ChannelTrace, node: ir.Node) -> None:
    """BatchNormalization and InstanceNormalization: one set of parameters for each channel."""
    source = _source(node)
    used = [output for output in node.outputs if output.uses() or output.is_graph_output()]
    if any(output is not node.outputs[0] for output in used) or node.attributes.get_int("training_mode", 0) == 1:
        raise UntraceableError("it is in training mode")
    vector = trace.vector(source, 1)
    for position in range(1, len(node.inputs)):
        trace.follow(node, position, 0, vector)
    trace.give(node.outputs[0], trace.channels[source])


def across(trace: ChannelTrace, node: ir.Node) -> None:
    """Softmax, LayerNormalization and their like: channels pass if they do not stand on a normalised axis."""
    source = _source(node)
    rank = len(shape_of(source))
    old_softmax = node.op_type != "LayerNormalization" and trace.opset < 13
    default = 1 if old_softmax else -1
    first = node.attributes.get_int("axis", default) % rank
    reaches_end = old_softmax or node.op_type in ("LayerNormalization", "RMSNormalization")
    axis = trace.varying_axis(source)
    if axis is not None and (axis == first or (reaches_end and axis > first)):
        raise UntraceableError(f"it computes across axis {axis}, on which the channels stand")
    for output in node.outputs:
        if axis is None or len(shape_of(output)) != rank:
            trace.give_frozen(output, f"{node.op_type} mixes them")
        else:
            trace.give(output, trace.channels[source])


def reduction(trace: ChannelTrace, node: ir.Node) -> None:
    """ReduceMean and its like: channels pass if they are not summed over."""
    source = _source(node)
    rank = len(shape_of(source))
    axes = {axis % rank for axis in integers(node, "axes", 1) or range(rank)}
    axis = trace.varying_axis(source)
    if axis is None or axis in axes:
        raise UntraceableError("it reduces the axis on which the channels stand")
    channels = trace.channels[source]
    if not node.attributes.get_int("keepdims", 1):
        channels = channels.reshape([extent for number, extent in enumerate(channels.shape) if number not in axes])
    trace.give(node.outputs[0], channels)


def pad(trace: ChannelTrace, node: ir.Node) -> None:
    """Padding of the axis of the channels adds channels that stay."""
    source = _source(node)
    rank = len(shape_of(source))
    amounts = integers(node, "pads", 1) or ()
    axes = [axis % rank for axis in integers(node, "axes", 3) or range(rank)]
    before, after = (dict(zip(axes, part, strict=False)) for part in (amounts[: len(axes)], amounts[len(axes) :]))
    channels, axis = trace.channels[source], trace.varying_axis(source)
    ends = (0, 0) if axis is None else (before.get(axis, 0), after.get(axis, 0))
    if axis is not None and any(ends):
        if min(ends) < 0 or node.attributes.get_string("mode", "constant") != "constant":
            raise UntraceableError(f"it crops or repeats axis {axis}, on which the channels stand")
        added = trace.classes.new(1)
        trace.classes.freeze(added, f"{node.op_type} adds it")
        padded = np.concatenate([np.repeat(added, ends[0]), channels.ravel(), np.repeat(added, ends[1])])
        channels = along(padded, axis, rank)
    trace.give(node.outputs[0], channels)


def _source(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None or constant_tensor(value) is not None:
        raise UntraceableError("its input is constant")
    return value
