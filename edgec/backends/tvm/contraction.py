"""The computations of convolutions, channels last and with packed weights, as TE stages.

An anchor reads its input through at most one stage that adds the border, and its weights in blocks: those of a block of
output channels lie together, its channels innermost, in the order in which the reduction wants them. The last block is
filled up with zeros; a last stage takes the surplus channels off again, adds the bias, and gives the output its dtype.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.stages import AnchorLayout, Role, role_attributes

Tensor = Any
"""A TE tensor; TVM ships no types."""

Expression = Any
"""A TIR expression."""


@dataclass(frozen=True)
class Window:
    """A sliding window over the spatial axes, each field with one entry an axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_before: tuple[int, ...]
    pads_after: tuple[int, ...]

    def outputs(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Spatial extents of the output for those of the input."""
        return tuple(
            (extent + before + after - (kernel - 1) * dilation - 1) // stride + 1
            for extent, kernel, stride, dilation, before, after in zip(
                extents, self.kernel, self.strides, self.dilations, self.pads_before, self.pads_after, strict=True
            )
        )

    @property
    def pads(self) -> bool:
        """Whether there is any border."""
        return any(self.pads_before) or any(self.pads_after)


@dataclass(frozen=True)
class Border:
    """The stage between an input and its anchor.

    Attributes:
        before: elements added before each spatial axis; negative ones are taken off.
        after: elements added after each spatial axis.
        spread: distance of neighbouring elements after zeros are put between them; 1 for none.
        channels: channels afterwards; those beyond the input's are zero.
        repeat: how often each channel is repeated.
        zero_point: what stands for zero in the input and is taken off each element.
        dtype: of the elements afterwards.
        filling: the elements that are added.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    spread: tuple[int, ...]
    channels: int
    repeat: int
    zero_point: int
    dtype: str
    filling: int = 0

    def apply(self, x: Tensor) -> Tensor:
        """The stage for an input of shape (batch, spatial…, channels); the input itself if nothing changes."""
        batch, *spatial, channels = (int(extent) for extent in x.shape)
        extents = tuple(
            (extent - 1) * spread + 1 + before + after
            for extent, spread, before, after in zip(spatial, self.spread, self.before, self.after, strict=True)
        )
        unchanged = (*extents, self.channels) == (*spatial, channels) and self.repeat == 1 and not any(self.before)
        if unchanged and self.zero_point == 0 and str(x.dtype) == self.dtype:
            return x
        real_channels = channels * self.repeat

        def element(sample: Expression, *rest: Expression) -> Expression:
            *indices, channel = rest
            inside: list[Expression] = []
            sources: list[Expression] = []
            for axis, index in enumerate(indices):
                source, checks = self._source(index, axis, spatial[axis], extents[axis])
                sources.append(source)
                inside += checks
            if self.channels > real_channels:
                inside.append(channel < real_channels)
            value = self._centred(x(sample, *sources, channel // self.repeat if self.repeat > 1 else channel))
            if not inside:
                return value
            return tirx.if_then_else(tirx.all(*inside), value, tirx.const(self.filling, self.dtype))

        shape = (batch, *extents, self.channels)
        return te.compute(shape, element, name="border", attrs=role_attributes(Role.PADDING))

    def rows(self, x: Tensor, extent: int) -> Tensor:
        """The stage with the last spatial axis and the channels as one axis, cut or filled up to `extent` elements."""
        batch, *spatial, columns, channels = (int(length) for length in x.shape)
        first = self.before[-1] * channels
        around = [length + self.before[axis] + self.after[axis] for axis, length in enumerate(spatial)]

        def element(sample: Expression, *rest: Expression) -> Expression:
            *indices, place = rest
            sources: list[Expression] = []
            inside = [place >= first, place < first + columns * channels]
            for axis, index in enumerate(indices):
                source, checks = self._source(index, axis, spatial[axis], around[axis])
                sources.append(source)
                inside += checks
            column, channel = tirx.floordiv(place - first, channels), tirx.floormod(place - first, channels)
            value = self._centred(x(sample, *sources, column, channel))
            return tirx.if_then_else(tirx.all(*inside), value, tirx.const(self.filling, self.dtype))

        return te.compute((batch, *around, extent), element, name="rows", attrs=role_attributes(Role.ROWS))

    def _centred(self, value: Expression) -> Expression:
        # Differences of eight bits may need nine on the way.
        wide = "int16" if self.dtype in ("int8", "uint8") and self.zero_point else self.dtype
        value = _widened(value, wide)
        if self.zero_point:
            value = value - tirx.const(self.zero_point, wide)
        return _widened(value, self.dtype)

    def _source(self, index: Expression, axis: int, extent: int, bordered: int) -> tuple[Expression, list[Expression]]:
        before, spread = self.before[axis], self.spread[axis]
        shifted = index - before if before else index
        checks: list[Expression] = []
        if before > 0:
            checks.append(index >= before)
        last = before + (extent - 1) * spread
        if bordered - 1 > last:
            checks.append(index <= last)
        if spread == 1:
            return shifted, checks
        checks.append(tirx.EQ(tirx.floormod(shifted, spread), 0))
        return tirx.floordiv(shifted, spread), checks


def accumulator_of(dtype: str, core: CoreDescription) -> str:
    """The element type in which a core sums products of `dtype`."""
    half = "float16" if core.multiplies_halves else "float32"
    return {"float16": half, "int8": "int32", "uint8": "int32", "int16": "int32", "uint16": "int32"}.get(dtype, dtype)


def pack_dense(weights: np.ndarray, block: int) -> np.ndarray:
    """Weights (outputs, inputs, window…) as (outputs / block, window…, inputs, block), filled up with zeros."""
    outputs, inputs, *window = weights.shape
    blocks = math.ceil(outputs / block)
    filled = np.zeros((blocks * block, inputs, *window), weights.dtype)
    filled[:outputs] = weights
    return np.ascontiguousarray(np.moveaxis(filled.reshape(blocks, block, inputs, *window), (1, 2), (-1, -2)))


def pack_dense_stage(weights: Tensor, block: int) -> Tensor:
    """`pack_dense` for weights that are computed at run time."""
    outputs, inputs, *window = (int(extent) for extent in weights.shape)
    blocks = math.ceil(outputs / block)

    def element(*indices: Expression) -> Expression:
        blocked, *taps, channel, lane = indices
        output = blocked * block + lane
        value = weights(output, channel, *taps)
        if outputs % block == 0:
            return value
        return tirx.if_then_else(output < outputs, value, tirx.const(0, str(weights.dtype)))

    return te.compute((blocks, *window, inputs, block), element, name="packed", attrs=role_attributes(Role.PACKING))


def pack_depthwise(weights: np.ndarray, channels: int) -> np.ndarray:
    """Weights of shape (outputs, 1, window…) as (window…, channels), filled up with zeros."""
    packed = np.zeros((*weights.shape[2:], channels), weights.dtype)
    packed[..., : weights.shape[0]] = np.moveaxis(weights[:, 0], 0, -1)
    return packed


def pack_depthwise_stage(weights: Tensor, channels: int) -> Tensor:
    """`pack_depthwise` for weights that are computed at run time."""
    outputs, _, *window = (int(extent) for extent in weights.shape)

    def element(*indices: Expression) -> Expression:
        *taps, channel = indices
        value = weights(channel, 0, *taps)
        if channels == outputs:
            return value
        return tirx.if_then_else(channel < outputs, value, tirx.const(0, str(weights.dtype)))

    return te.compute((*window, channels), element, name="packed", attrs=role_attributes(Role.PACKING))


def _widened(x: Expression, dtype: str) -> Expression:
    return x if str(x.ty.dtype) == dtype else tirx.Cast(dtype, x)


def dense_sum(
    x: Tensor,
    packed: Tensor,
    window: Window,
    outputs: Sequence[int],
    layout: AnchorLayout,
    group: tuple[int, int],
    dtype: str,
    product: Callable[[Expression, Expression], Expression] = operator.mul,
) -> Tensor:
    """Sum of products over the window and the input channels of each group.

    Args:
        x: (batch, spatial…, channels), border included.
        packed: see `pack_dense`.
        window: strides and dilations.
        outputs: spatial extents of the output.
        layout: the tile.
        group: output channels of a group and input channels of a group.
        dtype: of the sum.
        product: of an element of `x` and a weight.

    Returns:
        (batch, outputs…, channels), the channels filled up to whole blocks.
    """
    block = layout.tile.block
    blocks, *kernel, inputs, _ = (int(extent) for extent in packed.shape)
    taps = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel)]
    channel = te.reduce_axis((0, inputs), "input_channel")
    group_outputs, group_inputs = group

    def element(sample: Expression, *rest: Expression) -> Expression:
        *indices, output = rest
        places = [
            index * stride + tap * dilation
            for index, tap, stride, dilation in zip(indices, taps, window.strides, window.dilations, strict=True)
        ]
        source = channel
        if int(x.shape[-1]) != inputs:
            source = tirx.floordiv(output, group_outputs) * group_inputs + channel
        left = _widened(x(sample, *places, source), dtype)
        right = _widened(packed(tirx.floordiv(output, block), *taps, channel, tirx.floormod(output, block)), dtype)
        return te.sum(product(left, right), axis=[*taps, channel])

    shape = (int(x.shape[0]), *outputs, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=layout.attributes(Role.DENSE))


def depthwise_sum(
    x: Tensor, packed: Tensor, window: Window, outputs: Sequence[int], layout: AnchorLayout, dtype: str
) -> Tensor:
    """Sum of products over the window within each channel; shapes as in `dense_sum`, weights from `pack_depthwise`."""
    *kernel, channels = (int(extent) for extent in packed.shape)
    taps = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel)]

    def element(sample: Expression, *rest: Expression) -> Expression:
        *indices, channel = rest
        places = [
            index * stride + tap * dilation
            for index, tap, stride, dilation in zip(indices, taps, window.strides, window.dilations, strict=True)
        ]
        left = _widened(x(sample, *places, channel), dtype)
        return te.sum(left * _widened(packed(*taps, channel), dtype), axis=taps)

    shape = (int(x.shape[0]), *outputs, channels)
    return te.compute(shape, element, name="anchor", attrs=layout.attributes(Role.WINDOWED))


def finish(sums: Tensor, channels: int, bias: Tensor | None, dtype: str) -> Tensor:
    """The sums without the surplus channels, with the bias of shape (channels,), in the output's dtype."""
    if int(sums.shape[-1]) == channels and bias is None and str(sums.dtype) == dtype:
        return sums

    def element(*indices: Expression) -> Expression:
        value = sums(*indices)
        if bias is not None:
            value = value + _widened(bias(indices[-1]), str(sums.dtype))
        return _widened(value, dtype)

    return te.compute((*sums.shape[:-1], channels), element, name="finished")
