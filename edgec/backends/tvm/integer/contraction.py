"""The computations of convolutions in integers: weights in the order that dot-product instructions want, and sums."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor, Window
from edgec.backends.tvm.integer.instructions import DotInstruction
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_attribute, role_attributes


def pack_steps(weights: np.ndarray, block: int, depth: int) -> np.ndarray:
    """Weights of shape (outputs, inputs, window…) as (outputs / block, window…, inputs / depth, block, depth).

    Filled up with zeros to whole blocks and whole steps of `depth` input channels.
    """
    outputs, inputs, *window = weights.shape
    blocks, steps = math.ceil(outputs / block), math.ceil(inputs / depth)
    filled = np.zeros((blocks * block, steps * depth, *window), weights.dtype)
    filled[:outputs, :inputs] = weights
    split = filled.reshape(blocks, block, steps, depth, *window)
    axes = (0, *range(4, 4 + len(window)), 2, 1, 3)
    return np.ascontiguousarray(split.transpose(axes))


def dot_sum(
    x: Tensor,
    packed: Tensor,
    window: Window,
    outputs: Sequence[int],
    layout: AnchorLayout,
    group: tuple[int, int],
    instruction: DotInstruction,
) -> Tensor:
    """Sum of products over the window and the input channels of each group, in int32.

    Args:
        x: (batch, spatial…, channels), border included, of the instruction's data type.
        packed: see `pack_steps`.
        window: strides and dilations.
        outputs: spatial extents of the output.
        layout: the tile, whose lanes the instruction has.
        group: output channels of a group and input channels of a group.
        instruction: what computes a step.

    Returns:
        (batch, outputs…, channels), the channels filled up to whole blocks.
    """
    block, depth = layout.tile.block, instruction.depth
    blocks, *kernel, steps, _, _ = (int(extent) for extent in packed.shape)
    taps = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel)]
    step = te.reduce_axis((0, steps), "step")
    within = te.reduce_axis((0, depth), "within")
    group_outputs, group_inputs = group

    def element(sample: Expression, *rest: Expression) -> Expression:
        *indices, output = rest
        places = [
            index * stride + tap * dilation
            for index, tap, stride, dilation in zip(indices, taps, window.strides, window.dilations, strict=True)
        ]
        channel = step * depth + within
        if int(x.shape[-1]) != steps * depth:
            channel = tirx.floordiv(output, group_outputs) * group_inputs + channel
        left = tirx.Cast("int32", x(sample, *places, channel))
        lane = tirx.floormod(output, block)
        right = tirx.Cast("int32", packed(tirx.floordiv(output, block), *taps, step, lane, within))
        return te.sum(left * right, axis=[*taps, step, within])

    attributes = layout.attributes(Role.DOT_PRODUCT) | intrinsic_attribute(instruction.intrinsic(layout.tile.lanes))
    shape = (int(x.shape[0]), *outputs, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=attributes)


def pack_taps(weights: np.ndarray, channels: int, depth: int) -> np.ndarray:
    """Weights of shape (outputs, 1, window…) as (window but for its last axis…, steps, channels, depth).

    The taps of the last axis make steps of `depth`; taps and channels are filled up with zeros.
    """
    outputs, _, *around, last = weights.shape
    steps = math.ceil(last / depth)
    filled = np.zeros((channels, *around, steps * depth), weights.dtype)
    filled[:outputs, ..., :last] = weights[:, 0]
    split = filled.reshape(channels, *around, steps, depth)
    return np.ascontiguousarray(np.moveaxis(split, 0, -2))


def neighbouring_taps(x: Tensor, window: Window, positions: int, depth: int) -> Tensor:
    """The elements under `depth` neighbouring taps of the last axis, as the bytes of an int32, the first the lowest.

    Args:
        x: (batch, spatial…, channels) of uint8, border included.
        window: of stride 1 along the last axis.
        positions: extent of the last spatial axis of what is made.
        depth: at most four.
    """
    dilation, taps = window.dilations[-1], min(depth, window.kernel[-1])

    def element(*indices: Expression) -> Expression:
        *around, position, channel = indices
        word = None
        for tap in range(taps):
            byte = tirx.Cast("int32", x(*around, position + tap * dilation, channel))
            word = byte if word is None else word | tirx.shift_left(byte, 8 * tap)
        return word

    shape = (*(int(extent) for extent in x.shape[:-2]), positions, int(x.shape[-1]))
    return te.compute(shape, element, name="taps", attrs=role_attributes(Role.TAPS))


def depthwise_dot_sum(
    taps: Tensor, packed: Tensor, window: Window, outputs: Sequence[int], layout: AnchorLayout, name: str
) -> Tensor:
    """Sum of products over the window within each channel, in int32.

    Args:
        taps: see `neighbouring_taps`.
        packed: see `pack_taps`.
        window: strides and dilations.
        outputs: spatial extents of the output.
        layout: the tile, whose lanes the instruction has.
        name: of the intrinsic that computes a step.
    """
    *kernel, steps, channels, depth = (int(extent) for extent in packed.shape)
    distance = depth * window.dilations[-1]
    around = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel)]
    step = te.reduce_axis((0, steps), "step")
    within = te.reduce_axis((0, depth), "within")

    def element(sample: Expression, *rest: Expression) -> Expression:
        *indices, last, channel = rest
        geometry = zip(indices, around, window.strides[:-1], window.dilations[:-1], strict=True)
        places = [index * stride + tap * dilation for index, tap, stride, dilation in geometry]
        word = taps(sample, *places, last + step * distance, channel)
        byte = tirx.bitwise_and(tirx.shift_right(word, within * 8), 255)
        return te.sum(byte * tirx.Cast("int32", packed(*around, step, channel, within)), axis=[*around, step, within])

    attributes = layout.attributes(Role.WINDOWED_DOT) | intrinsic_attribute(name)
    return te.compute((int(taps.shape[0]), *outputs, channels), element, name="anchor", attrs=attributes)
