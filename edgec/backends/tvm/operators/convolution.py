"""Convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.tvm.contraction import (
    Border,
    Tensor,
    Window,
    accumulator_of,
    dense_sum,
    depthwise_sum,
    finish,
    pack_dense,
    pack_dense_stage,
    pack_depthwise,
    pack_depthwise_stage,
)
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Contraction, ContractionKind, LoopOrder
from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import optional_input, required_input
from edgec.backends.tvm.operators.winograd import emit_filtered
from edgec.backends.tvm.register_tile import TileChoice, choose_tile, lanes_of, tile_of, windowed_tile
from edgec.backends.tvm.stages import AnchorLayout, choice_of

_CENTRED = "int32"
"""Element type of integers after their zero point is taken off."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of values in memory, whatever ONNX node it comes from.

    Attributes:
        x: (batch, spatial…, channels).
        weights: shape (outputs, channels / groups, window…); with contents if they are constant.
        bias: (outputs,), or None.
        window: strides, dilations and border.
        groups: number of groups.
        spread: distance of neighbouring input elements after zeros are put between them, one an axis.
        zero_point: what stands for zero in `x`.
        dtype: of the output; sums of integers are int32.
    """

    x: Value
    weights: Value
    bias: Value | None
    window: Window
    groups: int
    spread: tuple[int, ...]
    zero_point: int
    dtype: str

    @property
    def outputs(self) -> tuple[int, ...]:
        """Spatial extents of the output."""
        extents = [(extent - 1) * gap + 1 for extent, gap in zip(self.x.shape[1:-1], self.spread, strict=True)]
        return self.window.outputs(extents)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output, channels last."""
        return (self.x.shape[0], *self.outputs, self.weights.shape[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return math.prod(self.shape) * math.prod(self.weights.shape[1:])


def emit_convolution(lowering: Lowering, node: ir.Node, convolution: Convolution, name: str) -> Value:
    """Append the operation of a convolution; gives its output, channels last."""
    depthwise = convolution.groups > 1 and convolution.weights.shape[1] == 1
    if depthwise:
        return _emit_depthwise(lowering, node, convolution, name)
    return _emit_dense(lowering, node, convolution, name)


def _emit_dense(lowering: Lowering, node: ir.Node, convolution: Convolution, name: str) -> Value:
    contraction = _contraction(convolution, ContractionKind.CONVOLUTION)
    chosen = lowering.chosen(contraction)
    merged, choice = merge_groups(convolution, lowering.core) if chosen is None else (1, tile_of(chosen))
    direct_cost = choice.cost * math.prod(convolution.weights.shape[1:])
    filtered = emit_filtered(lowering, node, convolution, name, direct_cost, contraction)
    if filtered is not None:
        return filtered
    weights, window, tile = convolution.weights, convolution.window, choice.tile
    accumulator = accumulator_of(convolution.x.dtype, lowering.core)
    group = (weights.shape[0] * merged // convolution.groups, weights.shape[1] * merged)
    layout = AnchorLayout(tile, choice.row_axis, 1, LoopOrder.BY_SIZE if chosen is None else chosen.order)
    constant = weights.data is not None
    if weights.data is not None:
        packed = pack_dense(block_diagonal(weights.data, convolution.groups, merged), tile.block)
        weights = lowering.literal(f"{weights.name}.packed", packed)
    border = _border(convolution, channels=convolution.x.shape[-1], repeat=1)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        packed = tensors[1] if constant else pack_dense_stage(tensors[1], tile.block)
        bordered = border.apply(tensors[0])
        sums = dense_sum(bordered, packed, window, convolution.outputs, layout, group, accumulator)
        return [finish(sums, convolution.shape[-1], _bias(tensors), convolution.dtype)]

    return lowering.emit(
        node,
        Pattern.ANCHOR,
        _operands(convolution, weights),
        (name, convolution.shape, convolution.dtype),
        compute,
        macs=convolution.macs,
        tile=tile,
        choice=choice_of(contraction, layout),
    )


def _emit_depthwise(lowering: Lowering, node: ir.Node, convolution: Convolution, name: str) -> Value:
    weights, window = convolution.weights, convolution.window
    accumulator = accumulator_of(convolution.x.dtype, lowering.core)
    channels = weights.shape[0]
    extents = (convolution.x.shape[0], *convolution.outputs)
    item_bytes = np.dtype(accumulator).itemsize
    contraction = _contraction(convolution, ContractionKind.DEPTHWISE)
    chosen = lowering.chosen(contraction)
    if chosen is None:
        tile = windowed_tile(extents, channels, window.kernel[-1], lowering.core, dtype_bytes=item_bytes)
    else:
        tile = tile_of(chosen).tile
    layout = AnchorLayout(tile, len(extents) - 1, 1)
    filled = math.ceil(channels / tile.block) * tile.block
    constant = weights.data is not None
    if weights.data is not None:
        weights = lowering.literal(f"{weights.name}.packed", pack_depthwise(weights.data, filled))
    border = _border(convolution, channels=filled, repeat=channels // convolution.groups)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        packed = tensors[1] if constant else pack_depthwise_stage(tensors[1], filled)
        sums = depthwise_sum(border.apply(tensors[0]), packed, window, convolution.outputs, layout, accumulator)
        return [finish(sums, channels, _bias(tensors), convolution.dtype)]

    return lowering.emit(
        node,
        Pattern.ANCHOR,
        _operands(convolution, weights),
        (name, convolution.shape, convolution.dtype),
        compute,
        macs=convolution.macs,
        tile=tile,
        choice=choice_of(contraction, layout),
    )


def _contraction(convolution: Convolution, kind: ContractionKind) -> Contraction | None:
    """What other ways of computing a convolution are looked up by; None where there is no choice."""
    grouped = kind is ContractionKind.CONVOLUTION and convolution.groups > 1
    window = convolution.window
    if grouped or convolution.weights.data is None or convolution.zero_point or set(convolution.spread) != {1}:
        return None
    return Contraction(
        kind=kind,
        dtype=convolution.x.dtype,
        result=convolution.dtype,
        extents=(convolution.x.shape[0], *convolution.outputs),
        channels=convolution.weights.shape[0],
        inputs=convolution.weights.shape[1],
        kernel=window.kernel,
        strides=window.strides,
        dilations=window.dilations,
        pads=(*window.pads_before, *window.pads_after),
    )


def _operands(convolution: Convolution, weights: Value) -> tuple[Value, ...]:
    return (convolution.x, weights) if convolution.bias is None else (convolution.x, weights, convolution.bias)


def _bias(tensors: Sequence[Tensor]) -> Tensor | None:
    return tensors[2] if len(tensors) > 2 else None


def _border(convolution: Convolution, *, channels: int, repeat: int) -> Border:
    dtype = convolution.x.dtype
    return Border(
        before=convolution.window.pads_before,
        after=convolution.window.pads_after,
        spread=convolution.spread,
        channels=channels,
        repeat=repeat,
        zero_point=convolution.zero_point,
        dtype=_CENTRED if convolution.zero_point else dtype,
    )


def merge_groups(convolution: Convolution, core: CoreDescription) -> tuple[int, TileChoice]:
    """How many groups to compute as one, with zeros where they do not meet, and the tile.

    Groups narrower than a vector waste its lanes; merged, they waste multiplications by zero instead.
    """
    groups, (outputs, inputs) = convolution.groups, convolution.weights.shape[:2]
    extents = (convolution.x.shape[0], *convolution.outputs)
    item_bytes = np.dtype(accumulator_of(convolution.x.dtype, core)).itemsize
    widest = lanes_of(core, item_bytes)
    candidates = [1]
    if convolution.weights.data is not None:
        most = max(1, 4 * widest * groups // outputs)
        candidates = [count for count in range(1, min(groups, most) + 1) if groups % count == 0]

    def choice(merged: int) -> TileChoice:
        multiple = 0 if merged == groups else outputs // groups * merged
        return choose_tile(extents, outputs, core, dtype_bytes=item_bytes, channel_multiple=multiple)

    choices = {merged: choice(merged) for merged in candidates}
    merged = min(candidates, key=lambda count: (choices[count].cost * inputs * count, count))
    return merged, choices[merged]


def block_diagonal(weights: np.ndarray, groups: int, merged: int) -> np.ndarray:
    """Weights of `groups` groups as those of `groups / merged`, zero between the groups merged into one."""
    if merged == 1:
        return weights
    outputs, inputs, *window = weights.shape
    spread = np.zeros((outputs, merged, inputs, *window), weights.dtype)
    place = np.arange(outputs) // (outputs // groups) % merged
    spread[np.arange(outputs), place] = weights
    return spread.reshape(outputs, merged * inputs, *window)


def window_of(node: ir.Node, extents: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window that a node's attributes describe over an input of some spatial extents.

    Raises:
        UnsupportedNodeError: the attributes do not fit the input, or `auto_pad` has an unknown value.
    """
    rank = len(kernel)
    strides = integers(node, "strides", (1,) * rank)
    dilations = integers(node, "dilations", (1,) * rank)
    pads = integers(node, "pads", (0,) * (2 * rank))
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (math.ceil(extent / stride) - 1) * stride + (taps - 1) * dilation + 1 - extent)
            for extent, stride, taps, dilation in zip(extents, strides, kernel, dilations, strict=True)
        ]
        smaller, larger = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        before, after = (smaller, larger) if automatic == "SAME_UPPER" else (larger, smaller)
    elif automatic == "VALID":
        before = after = (0,) * rank
    elif automatic == "NOTSET":
        before, after = pads[:rank], pads[rank:]
    else:
        raise UnsupportedNodeError(f"auto_pad has the unknown value {automatic}", "give explicit pads")
    window = Window(tuple(kernel), strides, dilations, before, after)
    if min(window.outputs(extents), default=1) < 1 or min((*before, *after), default=0) < 0:
        raise UnsupportedNodeError(
            f"its window of {list(kernel)} does not fit an input of {list(extents)}", "use larger inputs"
        )
    return window


def integers(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """An attribute with as many entries as its default.

    Raises:
        UnsupportedNodeError: it has another number of entries.
    """
    found = tuple(int(number) for number in node.attributes.get_ints(name, default))
    if len(found) != len(default):
        raise UnsupportedNodeError(
            f"its attribute {name} has {len(found)} entries instead of {len(default)}", "run the ONNX checker on it"
        )
    return found


def canonical_weights(lowering: Lowering, onnx_value: ir.Value) -> Value:
    """Weights in ONNX's layout, checked to have a window."""
    weights = lowering.value(onnx_value)
    if len(weights.shape) < 3:
        raise UnsupportedNodeError(f"its weights have shape {list(weights.shape)}", "run the ONNX checker on it")
    return weights


def checked_groups(node: ir.Node, x: Value, channels: int, outputs: int) -> int:
    """The number of groups, checked against the channels of the input, of the weights and of the output."""
    groups = int(node.attributes.get_int("group", 1))
    if groups < 1 or channels * groups != x.shape[-1] or outputs % groups:
        raise UnsupportedNodeError(
            f"{groups} groups do not divide {x.shape[-1]} input and {outputs} output channels as its weights say",
            "run the ONNX checker on the model",
        )
    return groups


@lowers("Conv")
def convolution(node: ir.Node, lowering: Lowering) -> None:
    """Convolution over any number of spatial axes."""
    weights = canonical_weights(lowering, required_input(node, 1))
    x = lowering.channels_last(required_input(node, 0))
    bias = optional_input(node, 2)
    groups = checked_groups(node, x, weights.shape[1], weights.shape[0])
    described = Convolution(
        x=x,
        weights=weights,
        bias=None if bias is None else lowering.value(bias),
        window=window_of(node, x.shape[1:-1], weights.shape[2:]),
        groups=groups,
        spread=(1,) * (len(x.shape) - 2),
        zero_point=0,
        dtype=x.dtype,
    )
    output = node.outputs[0]
    lowering.define_channels_last(output, emit_convolution(lowering, node, described, f"{output.name}.channels_last"))
