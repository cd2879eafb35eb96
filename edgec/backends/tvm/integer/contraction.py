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


def taps_as_channels(weights: np.ndarray) -> np.ndarray:
    """Weights (outputs, inputs, window…) with the last axis of the window and the inputs as one, inputs innermost."""
    outputs, inputs, *window = weights.shape
    return np.moveaxis(weights, -1, 1).reshape(outputs, window[-1] * inputs, *window[:-1])


def dot_sum(
    x: Tensor,
    packed: Tensor,
    window: Window,
    outputs: Sequence[int],
    layout: AnchorLayout,
    group: tuple[int, int],
    instruction: DotInstruction,
    pitch: int = 0,
) -> Tensor:
    """Sum of products over the window and the input channels of each group, in int32.

    Args:
        x: (batch, spatial…, channels), border included, of the instruction's data type; with a pitch its last two axes
            are one.
        packed: see `pack_steps`.
        window: strides and dilations.
        outputs: spatial extents of the output.
        layout: the tile, whose lanes the instruction has.
        group: output channels of a group and input channels of a group.
        instruction: what computes a step.
        pitch: elements of `x` from one output to the next along the last axis, where the taps along that axis are among
            the channels of `packed`; 0 where they are not.

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
        geometry = zip(indices, taps, window.strides, window.dilations, strict=not pitch)
        places = [index * stride + tap * dilation for index, tap, stride, dilation in geometry]
        channel = step * depth + within
        if pitch:
            channel = indices[-1] * pitch + channel
        elif int(x.shape[-1]) != steps * depth:
            channel = tirx.floordiv(output, group_outputs) * group_inputs + channel
        left = tirx.Cast("int32", x(sample, *places, channel))
        lane = tirx.floormod(output, block)
        right = tirx.Cast("int32", packed(tirx.floordiv(output, block), *taps, step, lane, within))
        return te.sum(left * right, axis=[*taps, step, within])

    attributes = layout.attributes(Role.DOT_PRODUCT) | intrinsic_attribute(instruction.intrinsic(layout.tile.lanes))
    shape = (int(x.shape[0]), *outputs, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=attributes)


def pack_taps(weights: np.ndarray, channels: int, depth: int) -> np.ndarray:
    """Weights of shape (outputs, 1, window…) as (window but for its first axis…, steps, channels, depth).

    The taps of the first axis make steps of `depth`; taps and channels are filled up with zeros.
    """
    outputs, _, first, *around = weights.shape
    steps = math.ceil(first / depth)
    filled = np.zeros((channels, steps * depth, *around), weights.dtype)
    filled[:outputs, :first] = weights[:, 0]
    split = filled.reshape(channels, steps, depth, *around)
    return np.ascontiguousarray(np.moveaxis(split, (1, 0, 2), (-3, -2, -1)))


def neighbouring_taps(x: Tensor, window: Window, outputs: int, depth: int) -> Tensor:
    """The elements under neighbouring taps of the first axis, as the bytes of int32, the first the lowest.

    Args:
        x: (batch, spatial…, channels) of uint8, border included.
        window: strides and dilations.
        outputs: extent of the first spatial axis of the output.
        depth: taps in one int32, at most four.

    Returns:
        (batch, outputs, steps, spatial but for its first axis…, channels), with zeros for taps beyond the window.
    """
    taps, stride, dilation = window.kernel[0], window.strides[0], window.dilations[0]
    steps = math.ceil(taps / depth)

    def element(sample: Expression, index: Expression, step: Expression, *rest: Expression) -> Expression:
        word = None
        for number in range(min(depth, taps)):
            tap = step * depth + number
            byte = tirx.Cast("int32", x(sample, index * stride + tap * dilation, *rest))
            if (steps - 1) * depth + number >= taps:
                byte = tirx.if_then_else(tap < taps, byte, tirx.const(0, "int32"))
            word = byte if word is None else word | tirx.shift_left(byte, 8 * number)
        return word

    shape = (int(x.shape[0]), outputs, steps, *(int(extent) for extent in x.shape[2:]))
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
    around = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel, 1)]
    step = te.reduce_axis((0, steps), "step")
    within = te.reduce_axis((0, depth), "within")

    def element(sample: Expression, first: Expression, *rest: Expression) -> Expression:
        *indices, channel = rest
        geometry = zip(indices, around, window.strides[1:], window.dilations[1:], strict=True)
        places = [index * stride + tap * dilation for index, tap, stride, dilation in geometry]
        word = taps(sample, first, step, *places, channel)
        byte = tirx.bitwise_and(tirx.shift_right(word, within * 8), 255)
        return te.sum(byte * tirx.Cast("int32", packed(*around, step, channel, within)), axis=[*around, step, within])

    attributes = layout.attributes(Role.WINDOWED_DOT) | intrinsic_attribute(name)
    return te.compute((int(taps.shape[0]), *outputs, channels), element, name="anchor", attrs=attributes)
