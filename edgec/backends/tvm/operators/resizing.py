"""Resize and Upsample: each resized axis by itself, from tables made at compile time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.arithmetic import is_float
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    define,
    existing_form,
    normalized_axis,
    optional_input,
    output_name,
    required_input,
    stage,
    to_memory,
)
from edgec.backends.tvm.operators.resample_table import (
    ResampleTable,
    ResizedAxis,
    interpolating_table,
    nearest_table,
)

_UNROLLED_TAPS = 4


@lowers("Resize", "Upsample")
def resize(node: ir.Node, lowering: Lowering) -> None:
    """Every mode and coordinate transformation of opsets 9 to 23. Sizes and scales must be known."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    axes = resized_axes(node, lowering, shape)
    tables = {
        number: _table(node, lowering, axis)
        for number, axis in enumerate(axes)
        if axis.output != axis.extent or axis.scale != 1 or (axis.start, axis.end) != (0.0, 1.0)
    }
    source = existing_form(lowering, x)
    if not tables:
        lowering.alias(node.outputs[0], x)
        return
    extrapolation = node.attributes.get_float("extrapolation_value", 0.0)
    order = sorted(tables, key=lambda number: axes[number].output / axes[number].extent)
    dtype = source.value.dtype
    for position, number in enumerate(order):
        wide = dtype if position == len(order) - 1 or is_float(dtype) or _copies(tables[number]) else "float32"
        source = _resample(node, lowering, source, number, tables[number], (wide, extrapolation))
    define(lowering, node.outputs[0], source.value, source.channels_last)


def _copies(table: ResampleTable) -> bool:
    return table.indices.shape[1] == 1 and bool(np.all(table.weights == 1))


def resized_axes(node: ir.Node, lowering: Lowering, shape: Sequence[int]) -> list[ResizedAxis]:
    """Each axis of the input with its scale and region of interest."""
    rank = len(shape)
    chosen = node.attributes.get_ints("axes")
    axes = [normalized_axis(axis, rank) for axis in (chosen if chosen is not None else range(rank))]
    scales, sizes, region = _parameters(node, lowering)
    result = [ResizedAxis(extent, extent, 1.0) for extent in shape]
    if sizes is not None:
        scales = _scales_for(node, [shape[axis] for axis in axes], sizes)
        outputs = [
            size
            if node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
            else _round(scale * shape[axis])
            for size, scale, axis in zip(sizes, scales, axes, strict=True)
        ]
    elif scales is not None:
        outputs = [math.floor(shape[axis] * scale) for axis, scale in zip(axes, scales, strict=True)]
    else:
        raise UnsupportedNodeError("it has neither sizes nor scales", "run the ONNX checker on the model")
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    for position, axis in enumerate(axes):
        start, end = (region[position], region[position + len(axes)]) if crops and region is not None else (0.0, 1.0)
        result[axis] = ResizedAxis(shape[axis], outputs[position], scales[position], start, end)
    return result


def _parameters(node: ir.Node, lowering: Lowering) -> tuple[list[float] | None, list[int] | None, list[float] | None]:
    """Scales, sizes and region of interest, wherever the opset has them."""
    attribute = node.attributes.get_floats("scales")
    if attribute is not None:
        return list(attribute), None, None
    modern = node.op_type == "Resize" and lowering.opset(node) >= 11
    scales = _numbers(node, lowering, 2 if modern else 1, "list of scales")
    sizes = _numbers(node, lowering, 3, "list of sizes") if modern else None
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    region = _numbers(node, lowering, 1, "region of interest") if modern and crops else None
    return scales, None if sizes is None else [int(size) for size in sizes], region


def _numbers(node: ir.Node, lowering: Lowering, position: int, role: str) -> list[float] | None:
    given = optional_input(node, position)
    if given is None:
        return None
    contents = lowering.required_constant(given, role).reshape(-1)
    return [float(number) for number in contents] if contents.size else None


def _round(x: float) -> int:
    return math.floor(x + 0.5)


def _scales_for(node: ir.Node, extents: Sequence[int], sizes: Sequence[int]) -> list[float]:
    scales = [size / extent for size, extent in zip(sizes, extents, strict=True)]
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if policy == "not_larger":
        return [min(scales)] * len(scales)
    if policy == "not_smaller":
        return [max(scales)] * len(scales)
    return scales


def _table(node: ir.Node, lowering: Lowering, axis: ResizedAxis) -> ResampleTable:
    mode = node.attributes.get_string("mode", "nearest")
    modern = node.op_type == "Resize" and lowering.opset(node) >= 11
    default = "half_pixel" if modern else "asymmetric"
    transformation = node.attributes.get_string("coordinate_transformation_mode", default)
    if mode == "nearest":
        rounding = "floor" if not modern else "round_prefer_floor"
        return nearest_table(axis, transformation, node.attributes.get_string("nearest_mode", rounding))
    if mode not in ("linear", "bilinear", "trilinear", "cubic"):
        raise UnsupportedNodeError(f"its mode {mode} is unknown", "use nearest, linear or cubic")
    return interpolating_table(
        axis,
        transformation,
        cubic=node.attributes.get_float("cubic_coeff_a", -0.75) if mode == "cubic" else None,
        antialias=bool(node.attributes.get_int("antialias", 0)),
        excludes_outside=bool(node.attributes.get_int("exclude_outside", 0)),
    )


def _index_rule(table: ResampleTable) -> tuple[int, int] | None:
    """(multiply, divide) if the only tap of position i is i · multiply // divide; spares the table."""
    if not _copies(table) or table.outside.any():
        return None
    found = table.indices[:, 0]
    positions = np.arange(len(found))
    for factor in range(1, 17):
        if np.array_equal(found, positions // factor):
            return 1, factor
        if np.array_equal(found, positions * factor):
            return factor, 1
    return None


def _resample(
    node: ir.Node,
    lowering: Lowering,
    source: Form,
    axis: int,
    table: ResampleTable,
    result: tuple[str, float],
) -> Form:
    """Append the operation that resizes one axis."""
    dtype, extrapolation = result
    last = source.channels_last
    shape = (*source.shape[:axis], len(table.indices), *source.shape[axis + 1 :])
    rule = _index_rule(table)
    name = f"{output_name(node.outputs[0], last)}.axis{axis}"
    working = source.value.dtype if is_float(source.value.dtype) else "float32"
    taps = table.indices.shape[1]
    literals = [] if rule is not None else _literals(lowering, name, table, extrapolation, working)

    def compute(tensors: Sequence[object]) -> Sequence[object]:
        x = Reader(tensors[0], last)
        if rule is not None:
            made = stage(shape, _copy(x, axis, rule, dtype), channels_last=last, name="resampled")
        else:
            weighted = _weighted(x, axis, Reader(tensors[1]), Reader(tensors[2]), taps, working)
            made = stage(shape, weighted, channels_last=last, name="resampled")
        if len(tensors) == 4:
            value, before = Reader(tensors[3]), made
            made = stage(shape, lambda *i: before(*i) + value(i[axis]), channels_last=last, name="extrapolated")
        if str(made.tensor.dtype) != dtype:
            wide = made
            made = stage(shape, lambda *i: tirx.Cast(dtype, wide(*i)), channels_last=last, name="narrowed")
        return [made.tensor]

    pattern = Pattern.INJECTIVE if taps == 1 else Pattern.REDUCTION
    described = (name, to_memory(shape, last), dtype)
    return Form(lowering.emit(node, pattern, [source.value, *literals], described, compute), last)


def _literals(lowering: Lowering, name: str, table: ResampleTable, extrapolation: float, working: str) -> list[Value]:
    """The table as operands: indices, weights, and what is added outside of the input if it is not zero."""
    outside = table.outside
    weights = np.where(outside[:, None], 0, table.weights).astype(working)
    literals = [lowering.literal(f"{name}.indices", table.indices), lowering.literal(f"{name}.weights", weights)]
    if outside.any() and extrapolation:
        literals.append(lowering.literal(f"{name}.outside", (outside * extrapolation).astype(working)))
    return literals


def _copy(x: Reader, axis: int, rule: tuple[int, int], dtype: str) -> Callable[..., Expression]:
    multiply, divide = rule

    def at(*i: Expression) -> Expression:
        place = tirx.indexdiv(i[axis] * multiply, divide)
        return tirx.Cast(dtype, x(*i[:axis], place, *i[axis + 1 :]))

    return at


def _weighted(
    x: Reader, axis: int, indices: Reader, weights: Reader, taps: int, working: str
) -> Callable[..., Expression]:
    def at(*i: Expression) -> Expression:
        def tap(number: Expression) -> Expression:
            read = x(*i[:axis], indices(i[axis], number), *i[axis + 1 :])
            return tirx.Cast(working, read) * weights(i[axis], number)

        if taps > _UNROLLED_TAPS:
            over = te.reduce_axis((0, taps), name="tap")
            return te.sum(tap(over), axis=over)
        total = tap(0)
        for number in range(1, taps):
            total = total + tap(number)
        return total

    return at
