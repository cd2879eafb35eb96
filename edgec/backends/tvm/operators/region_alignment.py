"""RoiAlign: regions of a feature map resampled to one size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product

import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit,
    existing_form,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, sum_over


def _number(value: float) -> Expression:
    return tirx.const(value, "float32")


@dataclass(frozen=True)
class _Alignment:
    """The attributes of RoiAlign: samples per window and axis, windows along (y, x), scale, and half-pixel centres."""

    samples: int
    out: tuple[int, int]
    scale: float
    shifted: bool
    takes_largest: bool

    @classmethod
    def of(cls, node: ir.Node, opset: int) -> _Alignment:
        samples = node.attributes.get_int("sampling_ratio", 0)
        if samples <= 0:
            raise UnsupportedNodeError(
                "its number of samples depends on the size of each region (sampling_ratio is 0)",
                "export the model with a fixed sampling_ratio, such as 2",
            )
        default = "half_pixel" if opset >= 16 else "output_half_pixel"
        return cls(
            samples=samples,
            out=(node.attributes.get_int("output_height", 1), node.attributes.get_int("output_width", 1)),
            scale=node.attributes.get_float("spatial_scale", 1.0),
            shifted=node.attributes.get_string("coordinate_transformation_mode", default) == "half_pixel",
            takes_largest=node.attributes.get_string("mode", "avg") == "max",
        )

    def position(self, read: Reader, roi: Expression, axis: int, window: Expression, tap: Expression) -> Expression:
        """Where along an axis (0: y) a tap of a window of a region reads; `read` gives the region's x1, y1, x2, y2."""
        offset = _number(0.5 if self.shifted else 0.0)
        start, end = (read(roi, number) * _number(self.scale) - offset for number in (1 - axis, 3 - axis))
        extent = end - start if self.shifted else tirx.max(end - start, _number(1))
        size = extent / _number(self.out[axis])
        inner = (tirx.Cast("float32", tap) + _number(0.5)) * size / _number(self.samples)
        return start + tirx.Cast("float32", window) * size + inner


def _neighbours(x: Expression, extent: int) -> list[tuple[Expression, Expression]]:
    """Index and weight of the two elements around a position; both weights are 0 outside."""
    limit = _number(extent - 1)
    kept = tirx.max(_number(0), tirx.min(x, limit))
    low = tirx.floor(kept)
    high = tirx.min(low + _number(1), limit)
    outside = tirx.Or(x < _number(-1), x > _number(extent))
    weights = (
        tirx.Select(outside, _number(0), _number(1) - (kept - low)),
        tirx.Select(outside, _number(0), kept - low),
    )
    return [(tirx.Cast("int32", low), weights[0]), (tirx.Cast("int32", high), weights[1])]


@lowers("RoiAlign")
def roi_align(node: ir.Node, lowering: Lowering) -> None:
    """Regions of a feature map resampled to one size by the mean or the largest of bilinear samples.

    Raises:
        UnsupportedNodeError: the number of samples depends on the size of the region.
    """
    source = existing_form(lowering, required_input(node, 0))
    rois, batches = (Form(lowering.value(required_input(node, number)), False) for number in (1, 2))
    alignment = _Alignment.of(node, lowering.opset(node))
    dtype, (height, width) = source.value.dtype, source.shape[2:]
    shape = (rois.shape[0], source.shape[1], *alignment.out)

    def build(readers: list[Reader]) -> Reader:
        image, regions, batch_of = readers
        over = [te.reduce_axis((0, alignment.samples), name=name) for name in ("ty", "tx")]

        def at(roi: Expression, c: Expression, y: Expression, x: Expression) -> Expression:
            rows = _neighbours(alignment.position(regions, roi, 0, y, over[0]), height)
            columns = _neighbours(alignment.position(regions, roi, 1, x, over[1]), width)
            batch = tirx.Cast("int32", batch_of(roi))
            terms = [
                image(batch, c, row, column) * (row_weight * column_weight)
                for (row, row_weight), (column, column_weight) in product(rows, columns)
            ]
            if alignment.takes_largest:
                return largest_over(reduce(tirx.max, terms), over)
            return sum_over(reduce(lambda a, b: a + b, terms), over)

        pooled = stage(shape, at, channels_last=source.channels_last, name="samples")
        if alignment.takes_largest:
            return pooled
        share = tirx.const(1.0 / alignment.samples**2, dtype)
        return stage(shape, lambda *i: pooled(*i) * share, channels_last=source.channels_last, name="mean")

    emit(
        lowering,
        node,
        Pattern.REDUCTION,
        [source, rois, batches],
        [(node.outputs[0], shape, dtype)],
        build,
        channels_last=source.channels_last,
    )
