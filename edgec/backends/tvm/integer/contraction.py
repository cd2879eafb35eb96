"""The computations of convolutions in integers: weights in the order that dot-product instructions want, and sums."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor, Window
from edgec.backends.tvm.integer.instructions import DotInstruction
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_attribute


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
