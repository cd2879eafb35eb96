"""Convolutions of 3 x 3 taps computed by minimal filtering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgec.backends.tvm.contraction import Border, Tensor, finish
from edgec.backends.tvm.implementation import Choice, Contraction
from edgec.backends.tvm.kernel_graph import Compute, Pattern, Value
from edgec.backends.tvm.lowering import Lowering
from edgec.backends.tvm.register_tile import lanes_of
from edgec.backends.tvm.stages import AnchorLayout
from edgec.backends.tvm.winograd import (
    WINDOW,
    Strips,
    pack_transformed,
    tile_products,
    transformed_input,
    transformed_output,
)
from edgec.backends.tvm.winograd_choice import (
    FilteringChoice,
    choose_filtering,
    filtering_of,
    implementation_of,
    weights_may_grow,
)

if TYPE_CHECKING:
    from edgec.backends.tvm.operators.convolution import Convolution

_TILES_AXIS = 3


def emit_filtered(
    lowering: Lowering,
    node: ir.Node,
    convolution: Convolution,
    name: str,
    direct_cost: float,
    contraction: Contraction | None,
) -> Value | None:
    """Append the operation of a convolution by minimal filtering, if that is possible and faster.

    Args:
        lowering: receives the operation.
        node: the ONNX node.
        convolution: any convolution.
        name: of the output.
        direct_cost: what the direct sum costs, in vector multiply-adds.
        contraction: what a choice made by measurement is looked up by.

    Returns:
        The output, channels last; None if nothing was appended.
    """
    contents = convolution.weights.data
    if contents is None or not _fits(convolution):
        return None
    outputs, inputs = contents.shape[:2]
    extents = (convolution.x.shape[0], *convolution.outputs)
    chosen = lowering.chosen(contraction)
    choice: FilteringChoice | None = None
    if chosen is not None:
        choice = filtering_of(chosen, extents)
    elif weights_may_grow(lowering.weights_bytes, lowering.core):
        choice = choose_filtering(extents, inputs, outputs, lowering.core, direct_cost)
    if choice is None:
        return None
    strips = choice.strips
    packed = pack_transformed(strips.filtering.transform_weights(contents), choice.tile.block)
    weights = lowering.literal(f"{convolution.weights.name}.transformed", packed)
    operands = (convolution.x, weights)
    return lowering.emit(
        node,
        Pattern.ANCHOR,
        operands if convolution.bias is None else (*operands, convolution.bias),
        (name, convolution.shape, convolution.dtype),
        _computation(convolution, choice, lanes_of(lowering.core, contents.itemsize)),
        macs=convolution.macs,
        tile=choice.tile,
        choice=None if contraction is None else Choice(contraction, implementation_of(choice)),
    )


def _fits(convolution: Convolution) -> bool:
    """Whether a convolution is of the kind that the matrices are for."""
    window = convolution.window
    return (
        (convolution.x.dtype, convolution.weights.dtype, convolution.dtype) == ("float32",) * 3
        and convolution.groups == 1
        and convolution.zero_point == 0
        and window.kernel == (WINDOW, WINDOW)
        and {*window.strides, *window.dilations, *convolution.spread} == {1}
        and min(*window.pads_before, *window.pads_after) >= 0
    )


def _computation(convolution: Convolution, choice: FilteringChoice, lanes: int) -> Compute:
    border = _border(convolution, choice.strips, lanes)
    layout = AnchorLayout(choice.tile, _TILES_AXIS, 2)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        transformed = transformed_input(border.apply(tensors[0]), choice.strips)
        sums = transformed_output(tile_products(transformed, tensors[1], layout), choice.strips)
        bias = tensors[2] if len(tensors) > 2 else None
        return [_cut(finish(sums, convolution.shape[-1], bias, convolution.dtype), convolution.shape)]

    return compute


def _cut(sums: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The sums without the places that tiles cover beyond the output."""
    from tvm import te

    if tuple(int(extent) for extent in sums.shape) == shape:
        return sums
    return te.compute(shape, lambda *indices: sums(*indices), name="cut")


def _border(convolution: Convolution, strips: Strips, lanes: int) -> Border:
    """The input with its border, as far as the tiles reach, and with whole vectors of channels."""
    _, *extents, channels = convolution.x.shape
    before = convolution.window.pads_before
    after = tuple(
        covered + WINDOW - 1 - extent - first
        for covered, extent, first in zip(strips.covered, extents, before, strict=True)
    )
    return Border(
        before=before,
        after=after,
        spread=(1, 1),
        channels=-(-channels // lanes) * lanes,
        repeat=1,
        zero_point=0,
        dtype=convolution.x.dtype,
    )
