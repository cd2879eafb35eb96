"""Convolutions of 3 x 3 taps computed by minimal filtering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgec.backends.tvm.contraction import Border, Tensor, finish
from edgec.backends.tvm.kernel_graph import Pattern, Value
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
from edgec.backends.tvm.winograd_choice import FilteringChoice, choose_filtering

if TYPE_CHECKING:
    from edgec.backends.tvm.operators.convolution import Convolution

_TILES_AXIS = 3


def filtering_of(convolution: Convolution, direct_cost: float, lowering: Lowering) -> FilteringChoice | None:
    """How to compute a convolution by minimal filtering; None if that is impossible or not faster.

    Args:
        convolution: any convolution.
        direct_cost: what it costs otherwise, in vector multiply-adds.
        lowering: gives the core.
    """
    window = convolution.window
    fits = (
        convolution.weights.data is not None
        and (convolution.x.dtype, convolution.weights.dtype, convolution.dtype) == ("float32",) * 3
        and convolution.groups == 1
        and convolution.zero_point == 0
        and window.kernel == (WINDOW, WINDOW)
        and {*window.strides, *window.dilations, *convolution.spread} == {1}
        and min(*window.pads_before, *window.pads_after) >= 0
    )
    if not fits:
        return None
    outputs, inputs = convolution.weights.shape[:2]
    return choose_filtering((convolution.x.shape[0], *convolution.outputs), inputs, outputs, lowering.core, direct_cost)


def emit_winograd(
    lowering: Lowering, node: ir.Node, convolution: Convolution, name: str, choice: FilteringChoice
) -> Value:
    """Append the operation of a convolution that `filtering_of` chose; gives its output, channels last."""
    strips, weights = choice.strips, convolution.weights
    if weights.data is None:
        raise ValueError(f"the weights {weights.name} are not constant")
    packed = pack_transformed(strips.filtering.transform_weights(weights.data), choice.tile.block)
    border = _border(convolution, strips, lanes_of(lowering.core, 4))
    layout = AnchorLayout(choice.tile, _TILES_AXIS, 2)

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        transformed = transformed_input(border.apply(tensors[0]), strips)
        sums = transformed_output(tile_products(transformed, tensors[1], layout), strips)
        bias = tensors[2] if len(tensors) > 2 else None
        return [_cut(finish(sums, convolution.shape[-1], bias, convolution.dtype), convolution.shape)]

    operands = (convolution.x, lowering.literal(f"{weights.name}.transformed", packed))
    return lowering.emit(
        node,
        Pattern.ANCHOR,
        operands if convolution.bias is None else (*operands, convolution.bias),
        (name, convolution.shape, convolution.dtype),
        compute,
        macs=convolution.macs,
        tile=choice.tile,
    )


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
