"""Convolutions of signs with signs, in int32: channels are packed into words of 32 bits, a set bit for −1.

Of N products with m different signs the sum is N − 2 m. A border of zeros has no sign: it is computed as if it were +1,
and what that adds, the sum of the weights there, is taken off by a table. The table has a row for each way in which a
window can lie over the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.binary.instruction import WORD_BITS, count_intrinsic
from edgec.backends.tvm.contraction import Border, Expression, Tensor, Window
from edgec.backends.tvm.integer.contraction import pack_steps
from edgec.backends.tvm.kernel_graph import Pattern, Value
from edgec.backends.tvm.lowering import Lowering
from edgec.backends.tvm.operators.convolution import Convolution, merge_groups
from edgec.backends.tvm.stages import AnchorLayout, Role, intrinsic_attribute


@dataclass(frozen=True)
class BinaryConvolution:
    """A convolution of the signs of its input with constant signs.

    Attributes:
        x: (batch, spatial…, channels), real; negative numbers count as −1, others as +1.
        signs: int8 (outputs, channels, window…) of −1 and +1.
        window: strides, dilations and border.
    """

    x: Value
    signs: np.ndarray
    window: Window


def packed_signs(signs: np.ndarray) -> np.ndarray:
    """Signs (outputs, channels, window…) as int32 words (outputs, words, window…), the first channel lowest."""
    outputs, channels, *window = signs.shape
    words = math.ceil(channels / WORD_BITS)
    bits = np.zeros((outputs, words * WORD_BITS, *window), np.uint32)
    bits[:, :channels] = signs < 0
    places = np.arange(WORD_BITS, dtype=np.uint32).reshape(-1, *[1] * len(window))
    packed: np.ndarray = (bits.reshape(outputs, words, WORD_BITS, *window) << places).sum(axis=2, dtype=np.uint32)
    return packed.view(np.int32)


def emit_binary_convolution(lowering: Lowering, node: ir.Node, convolution: BinaryConvolution, name: str) -> Value:
    """Append the packing of the input and the sums; gives int32 (batch, spatial…, outputs)."""
    x, window = convolution.x, convolution.window
    words = packed_signs(convolution.signs)
    packed = _emit_packing(lowering, node, x, words.shape[1], f"{name}.signs")
    weights = Value(f"{name}.words", words.shape, "int32", words)
    described = Convolution(packed, weights, None, window, 1, (1,) * (len(x.shape) - 2), 0, "int32")
    choice = merge_groups(described, lowering.core)[1]
    layout = AnchorLayout(choice.tile, choice.row_axis, 1)
    extents = _whole_tiles(described.outputs, layout)
    table, rows = _border_table(convolution, described.outputs)
    operands = (
        packed,
        lowering.literal(f"{name}.weights", pack_steps(words, choice.tile.block, 1)),
        lowering.literal(f"{name}.border", table),
        *(lowering.literal(f"{name}.rows{axis}", row) for axis, row in enumerate(rows)),
    )
    border = _border(described, extents)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        bits, weights, table, *rows = tensors
        differing = _count(border.apply(bits), weights, window, extents, layout)

        def element(sample: Expression, *rest: Expression) -> Expression:
            *indices, channel = rest
            places = [row(index) for row, index in zip(rows, indices, strict=True)]
            return table(*places, channel) - 2 * differing(sample, *indices, channel)

        return [te.compute(described.shape, element, name="finished")]

    macs = described.macs // words.shape[1] * convolution.signs.shape[1]
    output = (name, described.shape, "int32")
    return lowering.emit(node, Pattern.ANCHOR, operands, output, compute, macs=macs, tile=choice.tile)


def _emit_packing(lowering: Lowering, node: ir.Node, x: Value, words: int, name: str) -> Value:
    """The signs of the last axis as words; bits beyond the channels are not set."""
    channels = x.shape[-1]
    shape = (*x.shape[:-1], words)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        def element(*indices: Expression) -> Expression:
            *place, word = indices
            total: Expression = tirx.const(0, "int32")
            for bit in range(WORD_BITS):
                channel = word * WORD_BITS + bit
                mask = int(np.uint32(1 << bit).astype(np.int32))
                negative = tirx.Select(tensors[0](*place, channel) < 0, tirx.const(mask, "int32"), 0)
                if channels % WORD_BITS and bit >= channels % WORD_BITS:
                    negative = tirx.if_then_else(channel < channels, negative, 0)
                total = total | negative
            return total

        return [te.compute(shape, element, name="packed_signs")]

    return lowering.emit(node, Pattern.OPAQUE, [x], (name, shape, "int32"), compute)


def _count(x: Tensor, packed: Tensor, window: Window, outputs: Sequence[int], layout: AnchorLayout) -> Tensor:
    """Differing bits (batch, outputs…, channels), the channels filled up to whole blocks."""
    block = layout.tile.block
    blocks, *kernel, steps, _, _ = (int(extent) for extent in packed.shape)
    taps = [te.reduce_axis((0, extent), f"tap{axis}") for axis, extent in enumerate(kernel)]
    step = te.reduce_axis((0, steps), "step")
    within = te.reduce_axis((0, 1), "within")

    def element(sample: Expression, *rest: Expression) -> Expression:
        *indices, output = rest
        places = [
            index * stride + tap * dilation
            for index, tap, stride, dilation in zip(indices, taps, window.strides, window.dilations, strict=True)
        ]
        word = packed(tirx.floordiv(output, block), *taps, step, tirx.floormod(output, block), within)
        differing = tirx.popcount(x(sample, *places, step + within) ^ word)
        return te.sum(differing, axis=[*taps, step, within])

    lanes = layout.tile.lanes
    attributes = layout.attributes(Role.DENSE)
    if lanes > 1:
        attributes = layout.attributes(Role.DOT_PRODUCT) | intrinsic_attribute(count_intrinsic(lanes))
    shape = (int(x.shape[0]), *outputs, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=attributes)


def _border_table(convolution: BinaryConvolution, outputs: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """What `−2 m` is added to, int32 (rows…, outputs), and for each axis which row an output position takes."""
    window, signs = convolution.window, convolution.signs
    sums = np.moveaxis(signs.astype(np.int64).sum(axis=1), 0, -1)
    kinds, rows = [], []
    for axis, extent in enumerate(outputs):
        starts = np.arange(extent)[:, None] * window.strides[axis] - window.pads_before[axis]
        places = starts + np.arange(window.kernel[axis])[None] * window.dilations[axis]
        inside = (places >= 0) & (places < convolution.x.shape[1 + axis])
        found, row = np.unique(inside, axis=0, return_inverse=True)
        kinds.append(found.astype(np.int64))
        rows.append(row.reshape(-1).astype(np.int32))
    covered = sums
    for axis, kind in enumerate(kinds):
        covered = np.moveaxis(np.tensordot(kind, covered, axes=(1, axis)), 0, axis)
    total = signs[0].size
    return (total - (sums.sum(axis=tuple(range(sums.ndim - 1))) - covered)).astype(np.int32), rows


def _whole_tiles(outputs: Sequence[int], layout: AnchorLayout) -> tuple[int, ...]:
    """The spatial extents with as many rows as whole tiles have: an intrinsic cannot be taken under a condition."""
    rows, extents = layout.tile.rows, list(outputs)
    if layout.row_axis > 0:
        extents[layout.row_axis - 1] = math.ceil(extents[layout.row_axis - 1] / rows) * rows
    return tuple(extents)


def _border(described: Convolution, outputs: Sequence[int]) -> Border:
    window = described.window
    after = []
    for axis, output in enumerate(outputs):
        reach = (output - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1
        missing = reach - described.x.shape[1 + axis] - window.pads_before[axis]
        after.append(max(window.pads_after[axis], missing))
    spread = (1,) * len(outputs)
    return Border(window.pads_before, tuple(after), spread, described.x.shape[-1], 1, 0, "int32")
