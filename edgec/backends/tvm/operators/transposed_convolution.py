"""Transposed convolutions, computed by gathering: no zeros are put between the elements of the input.

With a stride s, output elements at distance s from each other see the same taps of the window. Such a *phase* of the
output is an ordinary convolution with stride 1 over the input, with every s-th tap. The phases are computed one after
another and then interleaved. Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
arXiv 1609.07009.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.contraction import (
    Border,
    Expression,
    Tensor,
    Window,
    accumulator_of,
    finish,
    pack_dense,
)
from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.convolution import Convolution, canonical_weights, emit_convolution, integers
from edgec.backends.tvm.operators.emission import optional_input, required_input
from edgec.backends.tvm.register_tile import choose_tile
from edgec.backends.tvm.stages import AnchorLayout, Role


@dataclass(frozen=True)
class _Geometry:
    """A transposed convolution along the spatial axes, each field with one entry an axis.

    Attributes:
        kernel: taps of the window.
        strides: distance of the windows in the output.
        dilations: distance of the taps in the output.
        before: elements cut off the front of the output.
        outputs: extents of the output.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    outputs: tuple[int, ...]


@lowers("ConvTranspose")
def transposed_convolution(node: ir.Node, lowering: Lowering) -> None:
    """Transposed convolution over any number of spatial axes."""
    weights = canonical_weights(lowering, required_input(node, 1))
    x = lowering.channels_last(required_input(node, 0))
    groups = int(node.attributes.get_int("group", 1))
    if weights.shape[0] != x.shape[-1] or groups < 1 or x.shape[-1] % groups:
        raise UnsupportedNodeError(
            f"its weights {list(weights.shape)} in {groups} groups do not fit {x.shape[-1]} input channels",
            "run the ONNX checker on the model",
        )
    if weights.data is None:
        raise UnsupportedNodeError("its weights are computed at run time", "make them constants before the export")
    bias = optional_input(node, 2)
    geometry = _geometry(node, x.shape[1:-1], weights.shape[2:])
    ordinary = _ordinary_weights(lowering, weights, weights.data, groups)
    offset = None if bias is None else lowering.value(bias)
    name = f"{node.outputs[0].name}.channels_last"
    if groups == 1 and max(geometry.strides) > 1 and max(geometry.dilations) == 1:
        made = _emit_phases(lowering, node, x, ordinary, offset, geometry, name)
    else:
        made = emit_convolution(lowering, node, _spread(x, ordinary, offset, geometry, groups), name)
    lowering.define_channels_last(node.outputs[0], made)


def _geometry(node: ir.Node, extents: Sequence[int], kernel: Sequence[int]) -> _Geometry:
    rank = len(kernel)
    strides, dilations = (integers(node, name, (1,) * rank) for name in ("strides", "dilations"))
    pads = integers(node, "pads", (0,) * (2 * rank))
    extra = integers(node, "output_padding", (0,) * rank)
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    full = [
        stride * (extent - 1) + more + (taps - 1) * dilation + 1
        for extent, stride, more, taps, dilation in zip(extents, strides, extra, kernel, dilations, strict=True)
    ]
    wanted = tuple(int(extent) for extent in node.attributes.get_ints("output_shape", ()))[-rank:]
    if not wanted and automatic in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(extent * stride for extent, stride in zip(extents, strides, strict=True))
    if wanted:
        # More is cut off behind the output than in front of it, unless the attribute says the opposite.
        totals = [whole - size for whole, size in zip(full, wanted, strict=True)]
        larger_first = automatic == "SAME_LOWER" or automatic == "NOTSET"
        before = tuple(total - total // 2 if larger_first else total // 2 for total in totals)
        outputs = wanted
    else:
        before = (0,) * rank if automatic == "VALID" else pads[:rank]
        after = (0,) * rank if automatic == "VALID" else pads[rank:]
        outputs = tuple(whole - low - high for whole, low, high in zip(full, before, after, strict=True))
    if min(outputs) < 1:
        raise UnsupportedNodeError(f"its output would have the extents {list(outputs)}", "use larger inputs")
    return _Geometry(tuple(kernel), strides, dilations, before, outputs)


def _ordinary_weights(lowering: Lowering, weights: Value, contents: np.ndarray, groups: int) -> Value:
    """Weights (inputs, outputs / groups, window…) as those of a convolution: (outputs, inputs / groups, window…)."""
    inputs, outputs, *window = contents.shape
    grouped = contents.reshape(groups, inputs // groups, outputs, *window).swapaxes(1, 2)
    ordinary = grouped.reshape(groups * outputs, inputs // groups, *window)
    return lowering.literal(f"{weights.name}.ordinary", ordinary)


def _spread(x: Value, weights: Value, bias: Value | None, geometry: _Geometry, groups: int) -> Convolution:
    """The convolution of the input, with zeros between its elements, with the window back to front."""
    if weights.data is None:
        raise UnsupportedNodeError("its weights are computed at run time", "make them constants before the export")
    flipped = replace(weights, data=np.ascontiguousarray(np.flip(weights.data, tuple(range(2, weights.data.ndim)))))
    reach = [(taps - 1) * dilation for taps, dilation in zip(geometry.kernel, geometry.dilations, strict=True)]
    before = tuple(length - cut for length, cut in zip(reach, geometry.before, strict=True))
    spread = [(extent - 1) * gap + 1 for extent, gap in zip(x.shape[1:-1], geometry.strides, strict=True)]
    after = tuple(
        output - 1 + length - (low + extent) + 1
        for output, length, low, extent in zip(geometry.outputs, reach, before, spread, strict=True)
    )
    window = Window(geometry.kernel, (1,) * len(reach), geometry.dilations, before, after)
    return Convolution(x, flipped, bias, window, groups, geometry.strides, 0, x.dtype)


@dataclass(frozen=True)
class _Phases:
    """The phases of the output: how many there are, the taps of each, the input that they reach, an entry an axis."""

    strides: tuple[int, ...]
    taps: tuple[int, ...]
    before: tuple[int, ...]
    border: tuple[int, ...]
    extents: tuple[int, ...]

    @classmethod
    def of(cls, geometry: _Geometry) -> _Phases:
        taps = tuple(
            math.ceil(kernel / stride) for kernel, stride in zip(geometry.kernel, geometry.strides, strict=True)
        )
        extents = tuple(
            math.ceil(output / stride) for output, stride in zip(geometry.outputs, geometry.strides, strict=True)
        )
        border = tuple(
            max(0, count - 1 - cut // stride)
            for count, cut, stride in zip(taps, geometry.before, geometry.strides, strict=True)
        )
        return cls(geometry.strides, taps, geometry.before, border, extents)

    def pack(self, weights: np.ndarray, block: int) -> np.ndarray:
        """Weights (outputs, inputs, window…) as (phase…, blocks, taps…, inputs, block).

        Tap j of phase r along an axis is element (r + before) % stride + stride * j of the window; taps that the
        window does not have are zero.
        """
        rank = len(self.strides)
        grown = [
            (0, count * stride - size)
            for count, stride, size in zip(self.taps, self.strides, weights.shape[2:], strict=True)
        ]
        padded = np.pad(weights, [(0, 0), (0, 0), *grown])
        split = padded.reshape(
            *weights.shape[:2], *(part for pair in zip(self.taps, self.strides, strict=True) for part in pair)
        )
        for axis, (stride, cut) in enumerate(zip(self.strides, self.before, strict=True)):
            split = np.roll(split, -(cut % stride), 2 + 2 * axis + 1)
        phases = [3 + 2 * axis for axis in range(rank)]
        ordered = split.transpose(*phases, 0, 1, *(2 + 2 * axis for axis in range(rank)))
        packed = [pack_dense(ordered[index], block) for index in np.ndindex(*self.strides)]
        return np.stack(packed).reshape(*self.strides, *packed[0].shape)


def _emit_phases(
    lowering: Lowering,
    node: ir.Node,
    x: Value,
    weights: Value,
    bias: Value | None,
    geometry: _Geometry,
    name: str,
) -> Value:
    if weights.data is None:
        raise UnsupportedNodeError("its weights are computed at run time", "make them constants before the export")
    phases = _Phases.of(geometry)
    rank, outputs = len(phases.strides), weights.shape[0]
    accumulator = accumulator_of(x.dtype, lowering.core)
    extents = (x.shape[0], *phases.strides, *phases.extents)
    # Rows may run along the axes of the input only: the phases have weights of their own.
    eligible = (1,) * (1 + rank) + phases.extents
    choice = choose_tile(eligible, outputs, lowering.core, dtype_bytes=np.dtype(accumulator).itemsize)
    row_axis = choice.row_axis if choice.row_axis > rank else len(eligible) - 1
    layout = AnchorLayout(choice.tile, row_axis, 1 + rank)
    packed = lowering.literal(f"{weights.name}.packed", phases.pack(weights.data, choice.tile.block))
    operands = (x, packed) if bias is None else (x, packed, bias)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        sums = _phase_sums(tensors[0], tensors[1], phases, layout, accumulator)
        return [finish(sums, outputs, tensors[2] if len(tensors) > 2 else None, x.dtype)]

    macs = math.prod(x.shape) * outputs * math.prod(geometry.kernel)
    shape = (*extents, outputs)
    made = lowering.emit(
        node, Pattern.ANCHOR, operands, (f"{name}.phases", shape, x.dtype), compute, macs=macs, tile=choice.tile
    )
    return _interleave(lowering, node, made, geometry, name)


def _phase_sums(x: Tensor, packed: Tensor, phases: _Phases, layout: AnchorLayout, dtype: str) -> Tensor:
    rank, block = len(phases.strides), layout.tile.block
    spatial = [int(extent) for extent in x.shape[1:-1]]
    reach = [
        (stride - 1 + cut) // stride + extent - 1 + low
        for stride, cut, extent, low in zip(phases.strides, phases.before, phases.extents, phases.border, strict=True)
    ]
    after = tuple(
        max(0, last - low - (extent - 1)) for last, low, extent in zip(reach, phases.border, spatial, strict=True)
    )
    border = Border(phases.border, after, (1,) * rank, int(x.shape[-1]), 1, 0, str(x.dtype))
    bordered = border.apply(x)
    taps = [te.reduce_axis((0, count), f"tap{axis}") for axis, count in enumerate(phases.taps)]
    channel = te.reduce_axis((0, int(x.shape[-1])), "input_channel")

    def element(sample: Expression, *rest: Expression) -> Expression:
        phase, indices, output = rest[:rank], rest[rank:-1], rest[-1]
        places = [
            index + tirx.floordiv(part + cut, stride) - tap + low
            for index, part, cut, stride, tap, low in zip(
                indices, phase, phases.before, phases.strides, taps, phases.border, strict=True
            )
        ]
        weight = packed(*phase, tirx.floordiv(output, block), *taps, channel, tirx.floormod(output, block))
        left = bordered(sample, *places, channel)
        return te.sum(left.astype(dtype) * weight.astype(dtype), axis=[*taps, channel])

    blocks = int(packed.shape[rank])
    shape = (int(x.shape[0]), *phases.strides, *phases.extents, blocks * block)
    return te.compute(shape, element, name="anchor", attrs=layout.attributes(Role.DENSE))


def _interleave(lowering: Lowering, node: ir.Node, phases: Value, geometry: _Geometry, name: str) -> Value:
    shape = (phases.shape[0], *geometry.outputs, phases.shape[-1])

    def element(tensor: Tensor, sample: Expression, *rest: Expression) -> Expression:
        indices, channel = rest[:-1], rest[-1]
        phase = [tirx.floormod(index, stride) for index, stride in zip(indices, geometry.strides, strict=True)]
        places = [tirx.floordiv(index, stride) for index, stride in zip(indices, geometry.strides, strict=True)]
        return tensor(sample, *phase, *places, channel)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        return [te.compute(shape, lambda *indices: element(tensors[0], *indices), name="interleaved")]

    return lowering.emit(node, Pattern.INJECTIVE, [phases], (name, shape, phases.dtype), compute)
