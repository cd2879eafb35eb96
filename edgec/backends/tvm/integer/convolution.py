"""Convolutions of quantized tensors with constant weights, in the instructions that the core has for it.

The sum over (x - x_zero)(w - w_zero) is split: the weights lose their zero point at compile time, and that of the input
becomes part of the bias, -x_zero · Σ(w - w_zero), where the border holds the zero point. Instructions that want the
other signedness get the input shifted by 128, zero point included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx_ir as ir
from tvm import te

from edgec.backends.tvm.contraction import (
    Border,
    Expression,
    Tensor,
    Window,
    dense_sum,
    depthwise_sum,
    pack_dense,
    pack_depthwise,
)
from edgec.backends.tvm.integer.contraction import (
    depthwise_dot_sum,
    dot_sum,
    neighbouring_taps,
    pack_steps,
    pack_taps,
    taps_as_channels,
)
from edgec.backends.tvm.integer.instructions import DotInstruction, dot_instruction, lane_instruction
from edgec.backends.tvm.integer.narrow_weights import stored_weights
from edgec.backends.tvm.integer.requantization import Requantization
from edgec.backends.tvm.integer.word_product import BYTES, dot, repeated, words_of_channels, words_of_steps
from edgec.backends.tvm.kernel_graph import Compute, ConvolutionTile, Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering
from edgec.backends.tvm.operators.convolution import Convolution, block_diagonal, merge_groups
from edgec.backends.tvm.register_tile import windowed_tile
from edgec.backends.tvm.stages import AnchorLayout

_LINE = 64
_SHIFT = 128


@dataclass(frozen=True)
class IntegerConvolution:
    """A convolution of a quantized input with constant weights.

    Attributes:
        x: (batch, spatial…, channels), of eight-bit integers.
        weights: shape (outputs, channels / groups, window…), int8 or int16, zero at zero.
        bias: int32 of shape (outputs,), in steps of input scale times weight scale.
        window: strides, dilations and border.
        groups: number of groups.
        zero_point: what stands for zero in `x`.
        requantization: from the sums to the output; None if they are the output.
    """

    x: Value
    weights: np.ndarray
    bias: np.ndarray
    window: Window
    groups: int
    zero_point: int
    requantization: Requantization | None = None

    @property
    def dtype(self) -> str:
        """Of the output."""
        return "int32" if self.requantization is None else self.requantization.dtype

    @property
    def described(self) -> Convolution:
        """The same for the choice of tiles, with names for the constants."""
        weights = Value(f"{self.x.name}.weights", self.weights.shape, str(self.weights.dtype), self.weights)
        return Convolution(self.x, weights, None, self.window, self.groups, self._spread, 0, "int32")

    @property
    def _spread(self) -> tuple[int, ...]:
        return (1,) * (len(self.x.shape) - 2)


@dataclass(frozen=True)
class _Input:
    """How the input is read: its element type, what is added to each element first, and what then stands for zero."""

    dtype: str
    shift: int
    zero_point: int


def centred_weights(weights: np.ndarray, zero_point: np.ndarray | None, axis: int) -> np.ndarray:
    """Weights with their zero point taken off: int8 if they all fit, else int16.

    Args:
        weights: of eight bits.
        zero_point: one element, or one for each index along `axis`; None for 0.
        axis: the axis of output channels.
    """
    wide = weights.astype(np.int16)
    if zero_point is not None:
        shape = [1] * weights.ndim
        if zero_point.size > 1:
            shape[axis] = -1
        wide = wide - zero_point.astype(np.int16).reshape(shape)
    fits = wide.size == 0 or (wide.min() >= np.iinfo(np.int8).min and wide.max() <= np.iinfo(np.int8).max)
    return wide.astype(np.int8) if fits else wide


def emit_integer_convolution(lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, name: str) -> Value:
    """Append the operation of a convolution; gives its output, channels last.

    Raises:
        UnsupportedNodeError: the bias and the zero points do not fit 32 bits together.
    """
    if convolution.groups > 1 and convolution.weights.shape[1] == 1:
        by_lane = lane_instruction(lowering.core, str(convolution.weights.dtype))
        if by_lane is None or not _taps_pay(lowering, convolution):
            return _emit_depthwise(lowering, node, convolution, name)
        return _emit_depthwise_dot(lowering, node, convolution, by_lane, name)
    if lowering.core.dot_product == "dp4a" and convolution.weights.dtype == np.int8 and convolution.groups == 1:
        return _emit_words(lowering, node, convolution, name)
    instruction = dot_instruction(lowering.core, str(convolution.weights.dtype))
    if instruction is None:
        return _emit_plain(lowering, node, convolution, name)
    merged, choice = merge_groups(convolution.described, lowering.core)
    if merged < convolution.groups and convolution.weights.shape[1] * merged % instruction.depth:
        return _emit_plain(lowering, node, convolution, name)
    tile = _fitting(choice.tile, instruction)
    whole = (
        merged == convolution.groups or convolution.weights.shape[0] // convolution.groups * merged % tile.block == 0
    )
    if not whole or (choice.row_axis == 0 and convolution.x.shape[0] % tile.rows):
        return _emit_plain(lowering, node, convolution, name)
    return _emit_dot(lowering, node, convolution, _Tiling(instruction, tile, choice.row_axis, merged), name)


def _fitting(tile: ConvolutionTile, instruction: DotInstruction) -> ConvolutionTile:
    """The tile with as many lanes as the instruction has."""
    return replace(tile, lanes=instruction.lanes(tile.lanes))


@dataclass(frozen=True)
class _Tiling:
    instruction: DotInstruction
    tile: ConvolutionTile
    row_axis: int
    merged: int


def _emit_dot(lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, tiling: _Tiling, name: str) -> Value:
    instruction, tile, merged = tiling.instruction, tiling.tile, tiling.merged
    weights, described = convolution.weights, convolution.described
    outputs, inputs = weights.shape[:2]
    group = (outputs * merged // convolution.groups, inputs * merged)
    read = _input_for(convolution, instruction.data)
    # On Arm the words of neighbouring outputs share their loads, and runs took a third more instructions.
    pitch = _pitch_of_rows(convolution, instruction) if lowering.core.multiplies_pairs else 0
    spread = block_diagonal(weights, convolution.groups, merged)
    ordered = taps_as_channels(spread) if pitch else spread
    packed = stored_weights(lowering, node, f"{name}.weights", pack_steps(ordered, tile.block, instruction.depth))
    bias = lowering.literal(f"{name}.bias", _whole_bias(convolution, read.zero_point))
    channels = convolution.x.shape[-1]
    if merged == convolution.groups:
        channels = math.ceil(channels / instruction.depth) * instruction.depth
    layout = AnchorLayout(tile, tiling.row_axis, 1)
    extents = _whole_tiles(described.outputs, layout)
    border = _border(convolution, read, channels, 1, extents)
    reach = (extents[-1] - 1) * pitch + math.ceil(ordered.shape[1] / instruction.depth) * instruction.depth

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        x = border.rows(tensors[0], _whole_lines(reach)) if pitch else border.apply(tensors[0])
        sums = dot_sum(x, tensors[1], convolution.window, extents, layout, group, instruction, pitch)
        return [_finish(convolution, sums, tensors[2:])]

    return _append(lowering, node, convolution, (packed, bias), compute, tile, name)


def _emit_words(lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, name: str) -> Value:
    """With words of four bytes, which a graphics processor multiplies and adds in one instruction."""
    described = convolution.described
    _, choice = merge_groups(described, lowering.core)
    packed = stored_weights(
        lowering, node, f"{name}.weights", pack_steps(convolution.weights, choice.tile.block, BYTES)
    )
    read = _Input(convolution.x.dtype, 0, convolution.zero_point)
    bias = lowering.literal(f"{name}.bias", _whole_bias(convolution, read.zero_point))
    layout = AnchorLayout(choice.tile, choice.row_axis, 1)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        words, weights = words_of_channels(tensors[0]), words_of_steps(tensors[1])
        whole = _Input("int32", 0, repeated(read.zero_point))
        bordered = _border(convolution, whole, int(words.shape[-1]), 1, described.outputs).apply(words)
        group = int(words.shape[-1]), int(words.shape[-1])
        product = partial(dot, dtype=read.dtype)
        extents = described.outputs
        sums = dense_sum(bordered, weights, convolution.window, extents, layout, group, "int32", product)
        return [_finish(convolution, sums, tensors[2:])]

    return _append(lowering, node, convolution, (packed, bias), compute, choice.tile, name)


def _pitch_of_rows(convolution: IntegerConvolution, instruction: DotInstruction) -> int:
    """Elements between outputs along the last axis, where the taps along it are best read as one run; 0 elsewhere.

    So it is where the channels do not fill the steps of an instruction, as in a first layer.
    """
    window, channels, depth = convolution.window, convolution.x.shape[-1], instruction.depth
    if convolution.groups > 1 or window.dilations[-1] > 1 or window.kernel[-1] == 1 or channels % depth == 0:
        return 0
    steps = math.ceil(window.kernel[-1] * channels / depth)
    return channels * window.strides[-1] if steps <= window.kernel[-1] * math.ceil(channels / depth) else 0


def _whole_lines(elements: int) -> int:
    return math.ceil(elements / _LINE) * _LINE


def _emit_plain(lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, name: str) -> Value:
    """With products of single int16, which vector units widen to int32 as they multiply."""
    merged, choice = merge_groups(convolution.described, lowering.core)
    weights, described, tile = convolution.weights, convolution.described, choice.tile
    outputs, inputs = weights.shape[:2]
    group = (outputs * merged // convolution.groups, inputs * merged)
    spread = block_diagonal(weights, convolution.groups, merged)
    packed = stored_weights(lowering, node, f"{name}.weights", pack_dense(spread, tile.block))
    read = _input_for(convolution, "int16")
    bias = lowering.literal(f"{name}.bias", _whole_bias(convolution, read.zero_point))
    border = _border(convolution, read, convolution.x.shape[-1], 1, described.outputs)
    layout = AnchorLayout(tile, choice.row_axis, 1)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        x = border.apply(tensors[0])
        sums = dense_sum(x, tensors[1], convolution.window, described.outputs, layout, group, "int32")
        return [_finish(convolution, sums, tensors[2:])]

    return _append(lowering, node, convolution, (packed, bias), compute, tile, name)


def _emit_depthwise(lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, name: str) -> Value:
    described, weights = convolution.described, convolution.weights
    outputs = weights.shape[0]
    extents = (convolution.x.shape[0], *described.outputs)
    tile = _depthwise_tile(lowering, convolution)
    filled = math.ceil(outputs / tile.block) * tile.block
    packed = stored_weights(lowering, node, f"{name}.weights", pack_depthwise(weights, filled))
    read = _Input(convolution.x.dtype, 0, convolution.zero_point)
    bias = lowering.literal(f"{name}.bias", _whole_bias(convolution, read.zero_point))
    border = _border(convolution, read, filled, outputs // convolution.groups, described.outputs)
    layout = AnchorLayout(tile, len(extents) - 1, 1)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        x = border.apply(tensors[0])
        sums = depthwise_sum(x, tensors[1], convolution.window, described.outputs, layout, "int32")
        return [_finish(convolution, sums, tensors[2:])]

    return _append(lowering, node, convolution, (packed, bias), compute, tile, name)


def _taps_pay(lowering: Lowering, convolution: IntegerConvolution) -> bool:
    """Whether bringing neighbouring taps together costs less than it saves.

    Channels that do not fill their vectors want a copy with checks.
    """
    fills = convolution.weights.shape[0] % _depthwise_tile(lowering, convolution).block == 0
    return fills and convolution.window.kernel[0] > 1


def _depthwise_tile(lowering: Lowering, convolution: IntegerConvolution) -> ConvolutionTile:
    extents = (convolution.x.shape[0], *convolution.described.outputs)
    taps = convolution.window.kernel[-1]
    return windowed_tile(extents, convolution.weights.shape[0], taps, lowering.core, dtype_bytes=4)


def _emit_depthwise_dot(
    lowering: Lowering, node: ir.Node, convolution: IntegerConvolution, instruction: DotInstruction, name: str
) -> Value:
    """With several taps of the window in one instruction."""
    described, weights, window = convolution.described, convolution.weights, convolution.window
    outputs, depth = weights.shape[0], instruction.depth
    tile = _fitting(_depthwise_tile(lowering, convolution), instruction)
    filled = math.ceil(outputs / tile.block) * tile.block
    packed = stored_weights(lowering, node, f"{name}.weights", pack_taps(weights, filled, depth))
    read = _input_for(convolution, instruction.data)
    bias = lowering.literal(f"{name}.bias", _whole_bias(convolution, read.zero_point))
    layout = AnchorLayout(tile, len(described.outputs), 1)
    extents = _whole_tiles(described.outputs, layout)
    border = _border(convolution, read, filled, outputs // convolution.groups, extents)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        taps = neighbouring_taps(border.apply(tensors[0]), window, extents[0], depth)
        sums = depthwise_dot_sum(taps, tensors[1], window, extents, layout, instruction.intrinsic(tile.lanes))
        return [_finish(convolution, sums, tensors[2:])]

    return _append(lowering, node, convolution, (packed, bias), compute, tile, name)


def _finish(convolution: IntegerConvolution, sums: Tensor, constants: Sequence[Tensor]) -> Tensor:
    """The output from sums with surplus rows and channels; the constants are the bias and those of requantization."""
    requantization = convolution.requantization

    def element(*indices: Expression) -> Expression:
        total = sums(*indices) + constants[0](indices[-1])
        return total if requantization is None else requantization.element(total, constants[1:], indices[-1])

    return te.compute(convolution.described.shape, element, name="finished")


def _append(
    lowering: Lowering,
    node: ir.Node,
    convolution: IntegerConvolution,
    constants: tuple[Value, Value],
    compute: Compute,
    tile: ConvolutionTile,
    name: str,
) -> Value:
    described, requantization = convolution.described, convolution.requantization
    factors = () if requantization is None else requantization.operands(lowering, name)
    return lowering.emit(
        node,
        Pattern.ANCHOR,
        (convolution.x, *constants, *factors),
        (name, described.shape, convolution.dtype),
        compute,
        macs=described.macs,
        tile=tile,
    )


def _input_for(convolution: IntegerConvolution, wanted: str) -> _Input:
    """How to read the input so that its elements have the type that an instruction wants."""
    given, zero_point = convolution.x.dtype, convolution.zero_point
    if wanted == given:
        return _Input(given, 0, zero_point)
    if wanted == "int16":
        return _Input(wanted, -zero_point, 0)
    shift = _SHIFT if wanted == "uint8" else -_SHIFT
    return _Input(wanted, shift, zero_point + shift)


def _whole_tiles(outputs: Sequence[int], layout: AnchorLayout) -> tuple[int, ...]:
    """The spatial extents with as many rows as whole tiles have: an instruction cannot be taken under a condition."""
    rows, extents = layout.tile.rows, list(outputs)
    if layout.row_axis > 0:
        extents[layout.row_axis - 1] = math.ceil(extents[layout.row_axis - 1] / rows) * rows
    return tuple(extents)


def _border(
    convolution: IntegerConvolution, read: _Input, channels: int, repeat: int, outputs: Sequence[int]
) -> Border:
    """The stage that adds the border, for outputs of some extents."""
    window = convolution.window
    reaches = [
        (output - 1) * stride + (kernel - 1) * dilation + 1
        for output, stride, kernel, dilation in zip(
            outputs, window.strides, window.kernel, window.dilations, strict=True
        )
    ]
    missing = [
        reach - extent - before
        for reach, extent, before in zip(reaches, convolution.x.shape[1:-1], window.pads_before, strict=True)
    ]
    return Border(
        before=window.pads_before,
        after=tuple(max(after, more) for after, more in zip(window.pads_after, missing, strict=True)),
        spread=(1,) * len(window.kernel),
        channels=channels,
        repeat=repeat,
        zero_point=-read.shift,
        dtype=read.dtype,
        filling=read.zero_point,
    )


def _whole_bias(convolution: IntegerConvolution, zero_point: int) -> np.ndarray:
    weights = convolution.weights
    total = weights.reshape(weights.shape[0], -1).astype(np.int64).sum(axis=1)
    whole: np.ndarray = convolution.bias.astype(np.int64) - zero_point * total
    limits = np.iinfo(np.int32)
    if whole.size and (whole.min() < limits.min or whole.max() > limits.max):
        raise UnsupportedNodeError(
            "its bias and zero points together do not fit 32 bits", "use a larger scale for its weights or its input"
        )
    return whole.astype(np.int32)
