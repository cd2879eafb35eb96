"""Operators that give the same elements another shape: no code runs for them.

Channels-last values stay so where batch and channels keep their extents; otherwise the canonical form is made first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, label, lowers
from edgec.backends.tvm.operators.channel_shuffle import shuffle
from edgec.backends.tvm.operators.emission import (
    normalized_axis,
    optional_input,
    output_name,
    required_input,
    to_memory,
)


def reshape_to(node: ir.Node, lowering: Lowering, x: ir.Value, shape: Sequence[int]) -> None:
    """Define a node's first output to be a view of `x` with another shape.

    Raises:
        UnsupportedNodeError: the number of elements differs.
    """
    source_shape, wanted = lowering.shape(x), tuple(int(extent) for extent in shape)
    if math.prod(source_shape) != math.prod(wanted):
        raise UnsupportedNodeError(
            f"it reshapes {list(source_shape)} to {list(wanted)}, which has another number of elements",
            "check the shapes given with --shape",
        )
    if source_shape == wanted:
        lowering.alias(node.outputs[0], x)
        return
    output = node.outputs[0]
    keeps_channels = len(wanted) >= 3 and len(source_shape) >= 3 and wanted[:2] == source_shape[:2]
    last = lowering.only_channels_last(x) and keeps_channels
    source = lowering.channels_last(x) if last else lowering.value(x)
    made = lowering.view(label(node), source, (output_name(output, last), to_memory(wanted, last), source.dtype))
    (lowering.define_channels_last if last else lowering.define)(output, made)


@lowers("Reshape")
def reshape(node: ir.Node, lowering: Lowering) -> None:
    """Any shape; 0 copies an extent unless `allowzero`, -1 is what remains. Opset 1 gives it as an attribute."""
    x = required_input(node, 0)
    attribute = node.attributes.get_ints("shape")
    given = (
        np.asarray(attribute, np.int64)
        if attribute is not None
        else lowering.required_constant(required_input(node, 1), "shape")
    )
    source = lowering.shape(x)
    wanted = [int(extent) for extent in given.reshape(-1)]
    if not node.attributes.get_int("allowzero", 0):
        wanted = [source[axis] if extent == 0 and axis < len(source) else extent for axis, extent in enumerate(wanted)]
    if -1 in wanted:
        known = math.prod(extent for extent in wanted if extent != -1)
        wanted[wanted.index(-1)] = math.prod(source) // known if known else 0
    if shuffle(node, lowering, wanted):
        return
    reshape_to(node, lowering, x, wanted)


@lowers("Flatten")
def flatten(node: ir.Node, lowering: Lowering) -> None:
    """A matrix: the axes before `axis` by those from it on."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    axis = node.attributes.get_int("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    reshape_to(node, lowering, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def axes_of(node: ir.Node, lowering: Lowering, position: int) -> tuple[int, ...] | None:
    """The axes of a node: an attribute in older opsets, an input in newer ones; None if neither is given."""
    attribute = node.attributes.get_ints("axes")
    if attribute is not None:
        return tuple(attribute)
    given = optional_input(node, position)
    if given is None:
        return None
    return tuple(int(axis) for axis in lowering.required_constant(given, "list of axes").reshape(-1))


@lowers("Squeeze")
def squeeze(node: ir.Node, lowering: Lowering) -> None:
    """Without some axes of extent 1; without all of them if no axes are given."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    axes = axes_of(node, lowering, 1)
    if axes is None:
        axes = tuple(axis for axis, extent in enumerate(shape) if extent == 1)
    dropped = {normalized_axis(axis, len(shape)) for axis in axes}
    reshape_to(node, lowering, x, [extent for axis, extent in enumerate(shape) if axis not in dropped])


@lowers("Unsqueeze")
def unsqueeze(node: ir.Node, lowering: Lowering) -> None:
    """With additional axes of extent 1."""
    x = required_input(node, 0)
    axes = axes_of(node, lowering, 1) or ()
    remaining = list(lowering.shape(x))
    rank = len(remaining) + len(axes)
    added = {normalized_axis(axis, rank) for axis in axes}
    reshape_to(node, lowering, x, [1 if axis in added else remaining.pop(0) for axis in range(rank)])


@lowers("Identity")
def identity(node: ir.Node, lowering: Lowering) -> None:
    """The input itself."""
    x = required_input(node, 0)
    if isinstance(x.type, ir.SequenceType | ir.OptionalType):
        raise UnsupportedNodeError(
            "it passes on a sequence or an optional value", "export the model with plain tensors instead"
        )
    lowering.alias(node.outputs[0], x)


@lowers("Dropout")
def dropout(node: ir.Node, lowering: Lowering) -> None:
    """The input itself: nothing is dropped at inference. The mask, if asked for, is all true.

    Raises:
        UnsupportedNodeError: the model is in training mode.
    """
    x, training = required_input(node, 0), optional_input(node, 2)
    if training is not None and bool(lowering.required_constant(training, "training mode").reshape(-1)[0]):
        ratio = optional_input(node, 1)
        if ratio is None or float(lowering.required_constant(ratio, "ratio").reshape(-1)[0]) != 0:
            raise UnsupportedNodeError("it drops elements at random (training mode)", "export the model for inference")
    lowering.alias(node.outputs[0], x)
    if len(node.outputs) > 1 and node.outputs[1].name:
        mask = node.outputs[1]
        dtype = bool if lowering.opset(node) >= 10 else np.dtype(lowering.dtype(x))
        lowering.define(mask, lowering.literal(str(mask.name), np.ones(lowering.shape(x), dtype)))
