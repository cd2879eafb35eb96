"""GridSample and RoiAlign: images read at computed positions."""

from __future__ import annotations

from collections.abc import Sequence
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
    emit_elements,
    existing_form,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, sum_over


def _number(value: float) -> Expression:
    return tirx.const(value, "float32")


def _reflected(x: Expression, low: float, high: float) -> Expression:
    """A coordinate folded back into [low, high]."""
    span = high - low
    if span <= 0:
        return _number(0)
    distance = tirx.abs(x - _number(low))
    rest = distance - tirx.floor(distance / _number(2 * span)) * _number(2 * span)
    return tirx.Select(rest > _number(span), _number(2 * span) - rest, rest) + _number(low)


def _cubic_weights(t: Expression) -> list[Expression]:
    def near(d: Expression) -> Expression:
        return (_number(1.25) * d - _number(2.25)) * d * d + _number(1)

    def far(d: Expression) -> Expression:
        return ((_number(-0.75) * d + _number(3.75)) * d - _number(6)) * d + _number(3)

    one = _number(1)
    return [far(t + one), near(t), near(one - t), far(_number(2) - t)]


@lowers("GridSample")
def grid_sample(node: ir.Node, lowering: Lowering) -> None:
    """Pixels at normalized positions given by a grid: nearest, linear or cubic, in any number of spatial axes."""
    source = existing_form(lowering, required_input(node, 0))
    grid = Form(lowering.value(required_input(node, 1)), False)
    dtype, extents = source.value.dtype, source.shape[2:]
    mode = node.attributes.get_string("mode", "linear").removeprefix("bi")
    padding = node.attributes.get_string("padding_mode", "zeros")
    corners = bool(node.attributes.get_int("align_corners", 0))
    shape = (*source.shape[:2], *grid.shape[1:-1])
    if mode not in ("linear", "nearest", "cubic"):
        raise UnsupportedNodeError(f"its mode {mode} is unknown", "use linear, nearest or cubic")

    def place(normalized: Expression, extent: int) -> Expression:
        x = (tirx.Cast("float32", normalized) + _number(1)) * _number(0.5)
        x = x * _number(extent - 1) if corners else x * _number(extent) - _number(0.5)
        if mode == "nearest":
            x = tirx.nearbyint(x)
        if padding == "border":
            return tirx.max(_number(0), tirx.min(x, _number(extent - 1)))
        return _bounced(x, extent) if padding == "reflection" else x

    def _bounced(x: Expression, extent: int) -> Expression:
        return _reflected(x, 0.0, extent - 1.0) if corners else _reflected(x, -0.5, extent - 0.5)

    def taps(x: Expression) -> list[tuple[Expression, Expression]]:
        """Position and weight of the elements along one axis, positions as floats."""
        if mode == "nearest":
            return [(tirx.nearbyint(x), _number(1))]
        whole = tirx.floor(x)
        t = x - whole
        if mode == "linear":
            return [(whole, _number(1) - t), (whole + _number(1), t)]
        return [(whole + _number(number - 1), weight) for number, weight in enumerate(_cubic_weights(t))]

    def element(readers: list[Reader], n: Expression, c: Expression, *spatial: Expression) -> Expression:
        axes = [
            taps(place(readers[1](n, *spatial, len(extents) - 1 - number), extent))
            for number, extent in enumerate(extents)
        ]
        total = None
        for combination in product(*axes):
            inside, where = [], []
            for (position, _), extent in zip(combination, extents, strict=True):
                limit = _number(extent - 1)
                folded = _bounced(position, extent) if padding == "reflection" else position
                inside.append(tirx.And(position >= _number(0), position <= limit))
                kept = tirx.max(_number(0), tirx.min(folded, limit))
                where.append(tirx.Cast("int32", tirx.nearbyint(kept)))
            read = tirx.Cast("float32", readers[0](n, c, *where))
            if padding == "zeros":
                read = tirx.Select(tirx.all(*inside), read, _number(0))
            term = read * reduce(lambda a, b: a * b, [weight for _, weight in combination])
            total = term if total is None else total + term
        return tirx.Cast(dtype, total)

    emit_elements(
        lowering,
        node,
        [source, grid],
        (shape, dtype),
        element,
        pattern=Pattern.REDUCTION,
        channels_last=source.channels_last and len(shape) == len(source.shape),
    )


@lowers("RoiAlign")
def roi_align(node: ir.Node, lowering: Lowering) -> None:
    """Regions of a feature map resampled to one size by the mean or the largest of bilinear samples.

    Raises:
        UnsupportedNodeError: the number of samples depends on the size of the region.
    """
    source = existing_form(lowering, required_input(node, 0))
    rois, batches = (Form(lowering.value(required_input(node, number)), False) for number in (1, 2))
    samples = node.attributes.get_int("sampling_ratio", 0)
    if samples <= 0:
        raise UnsupportedNodeError(
            "its number of samples depends on the size of each region (sampling_ratio is 0)",
            "export the model with a fixed sampling_ratio, such as 2",
        )
    dtype, (height, width) = source.value.dtype, source.shape[2:]
    out = [node.attributes.get_int(name, 1) for name in ("output_height", "output_width")]
    scale = _number(node.attributes.get_float("spatial_scale", 1.0))
    default = "half_pixel" if lowering.opset(node) >= 16 else "output_half_pixel"
    shifted = node.attributes.get_string("coordinate_transformation_mode", default) == "half_pixel"
    takes_largest = node.attributes.get_string("mode", "avg") == "max"
    shape = (rois.shape[0], source.shape[1], *out)

    def along(read: Reader, roi: Expression, axis: int, window: Expression, tap: Expression) -> Expression:
        offset = _number(0.5 if shifted else 0.0)
        start, end = (read(roi, number) * scale - offset for number in (1 - axis, 3 - axis))
        extent = end - start if shifted else tirx.max(end - start, _number(1))
        size = extent / _number(out[axis])
        inner = (tirx.Cast("float32", tap) + _number(0.5)) * size / _number(samples)
        return start + tirx.Cast("float32", window) * size + inner

    def neighbours(x: Expression, extent: int) -> list[tuple[Expression, Expression]]:
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

    def build(readers: list[Reader]) -> Reader:
        over = [te.reduce_axis((0, samples), name=name) for name in ("ty", "tx")]

        def at(roi: Expression, c: Expression, y: Expression, x: Expression) -> Expression:
            rows = neighbours(along(readers[1], roi, 0, y, over[0]), height)
            columns = neighbours(along(readers[1], roi, 1, x, over[1]), width)
            batch = tirx.Cast("int32", readers[2](roi))
            terms: Sequence[Expression] = [
                readers[0](batch, c, row, column) * (row_weight * column_weight)
                for (row, row_weight), (column, column_weight) in product(rows, columns)
            ]
            if takes_largest:
                return largest_over(reduce(tirx.max, terms), over)
            return sum_over(reduce(lambda a, b: a + b, terms), over)

        pooled = stage(shape, at, channels_last=source.channels_last, name="samples")
        if takes_largest:
            return pooled
        share = tirx.const(1.0 / (samples * samples), dtype)
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
