"""Operators that put elements elsewhere: transpose, concatenate, split, slice, expand, tile, and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Operation, Pattern, Value
from edgec.backends.tvm.lowering import (
    Lowering,
    label,
    lowers,
    permutation_from_channels_last,
    permutation_to_channels_last,
)
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    define,
    emit,
    emit_elements,
    existing_form,
    form,
    normalized_axis,
    optional_input,
    output_name,
    required_input,
    stage,
    to_memory,
)
from edgec.backends.tvm.operators.reshaping import axes_of


@lowers("Transpose")
def transpose(node: ir.Node, lowering: Lowering) -> None:
    """Permuted axes. A move of the channels to the end or back only renames the forms of the value."""
    x, output = required_input(node, 0), node.outputs[0]
    rank = len(lowering.shape(x))
    order = tuple(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    source = existing_form(lowering, x)
    if rank >= 3 and not source.channels_last and order == permutation_from_channels_last(rank):
        lowering.define_channels_last(output, source.value)
        return
    if source.channels_last:
        memory = permutation_to_channels_last(rank)
        order = tuple(memory.index(axis) for axis in order)
    lowering.define(output, _permuted(lowering, node, source.value, order))


def _permuted(lowering: Lowering, node: ir.Node, source: Value, order: tuple[int, ...]) -> Value:
    """A transpose that bears the name of its node."""
    made = lowering.transpose(source, order, str(node.outputs[0].name))
    last = lowering.steps[-1] if lowering.steps else None
    if not isinstance(last, Operation) or last.outputs != (made,):
        return made
    lowering.steps[-1] = replace(last, node=label(node))
    return made


@lowers("Concat")
def concat(node: ir.Node, lowering: Lowering) -> None:
    """Tensors one after another along an axis; those without elements are left out."""
    inputs = [x for x in node.inputs if x is not None]
    shapes = [lowering.shape(x) for x in inputs]
    axis = normalized_axis(node.attributes.get_int("axis", 1), len(shapes[0]))
    total = list(shapes[0])
    total[axis] = sum(shape[axis] for shape in shapes)
    kept = [x for x, shape in zip(inputs, shapes, strict=True) if math.prod(shape)]
    if len(kept) == 1:
        lowering.alias(node.outputs[0], kept[0])
        return
    last = len(total) >= 3 and any(lowering.only_channels_last(x) for x in kept)
    starts = np.cumsum([0] + [lowering.shape(x)[axis] for x in kept])[:-1].tolist()

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        def part(position: int) -> Expression:
            return readers[position](*_replaced(indices, axis, indices[axis] - starts[position]))

        result = part(0)
        for position in range(1, len(readers)):
            result = tirx.if_then_else(indices[axis] >= starts[position], part(position), result)
        return result

    dtype = lowering.dtype(inputs[0])
    operands = [form(lowering, x, last) for x in kept]
    emitted = len(lowering.steps)
    emit_elements(lowering, node, operands, (total, dtype), element, channels_last=last)
    if len(lowering.steps) > emitted and isinstance(joined := lowering.steps[-1], Operation):
        order = permutation_to_channels_last(len(total)) if last else range(len(total))
        lowering.steps[-1] = replace(joined, joins=tuple(order).index(axis))


def _replaced(indices: Sequence[Expression], axis: int, index: Expression) -> tuple[Expression, ...]:
    return (*indices[:axis], index, *indices[axis + 1 :])


@lowers("Split")
def split(node: ir.Node, lowering: Lowering) -> None:
    """Parts along an axis: of given extents (attribute or input), or equal but for the last."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    axis = normalized_axis(node.attributes.get_int("axis", 0), len(shape))
    given = optional_input(node, 1)
    attribute = node.attributes.get_ints("split")
    if given is not None:
        attribute = tuple(int(extent) for extent in lowering.required_constant(given, "list of extents"))
    if attribute is None:
        count = len(node.outputs)
        part = -(-shape[axis] // count)
        attribute = tuple(max(0, min(part, shape[axis] - position * part)) for position in range(count))
    start = 0
    for output, extent in zip(node.outputs, attribute, strict=True):
        starts, extents = [0] * len(shape), list(shape)
        starts[axis], extents[axis] = start, extent
        slice_of(lowering, node, existing_form(lowering, x), output, starts, extents, [1] * len(shape))
        start += extent


def slice_of(
    lowering: Lowering,
    node: ir.Node,
    source: Form,
    output: ir.Value,
    starts: Sequence[int],
    extents: Sequence[int],
    steps: Sequence[int],
) -> None:
    """Define an output to be a part of a value; a view where the part lies in one piece."""
    last, value = source.channels_last, source.value
    where, size, stride = (to_memory(tuple(each), last) for each in (starts, extents, steps))
    name = output_name(output, last)
    if value.data is not None:
        picked = value.data
        for axis, (start, extent, step) in enumerate(zip(where, size, stride, strict=True)):
            picked = picked.take(start + step * np.arange(extent), axis)
        define(lowering, output, lowering.literal(name, picked), last)
        return
    cut = [axis for axis, extent in enumerate(size) if (extent, stride[axis]) != (value.shape[axis], 1)]
    leading_is_one = not cut or all(extent == 1 for extent in size[: cut[-1]])
    offset = 0
    if cut:
        offset = _flat(where, value.shape) * np.dtype(value.dtype).itemsize
    contiguous = leading_is_one and all(stride[axis] == 1 or size[axis] == 1 for axis in cut)
    if contiguous and math.prod(size):
        define(lowering, output, lowering.view(label(node), value, (name, size, value.dtype), offset), last)
        return

    def build(readers: list[Reader]) -> Reader:
        return stage(
            extents,
            lambda *indices: readers[0](
                *(index * step + start for index, step, start in zip(indices, steps, starts, strict=True))
            ),
            channels_last=last,
            name="slice",
        )

    emitted = len(lowering.steps)
    emit(lowering, node, Pattern.INJECTIVE, [source], [(output, extents, value.dtype)], build, channels_last=last)
    box = all(step == 1 for step in steps)
    if box and len(lowering.steps) > emitted and isinstance(copied := lowering.steps[-1], Operation):
        lowering.steps[-1] = replace(copied, cuts=tuple(int(start) for start in where))


def _flat(where: Sequence[int], shape: Sequence[int]) -> int:
    position = 0
    for index, extent in zip(where, shape, strict=True):
        position = position * extent + index
    return position


@lowers("Slice")
def slice_operator(node: ir.Node, lowering: Lowering) -> None:
    """A range of each axis with a step, which may be negative; attributes before opset 10, inputs since."""
    x = required_input(node, 0)
    shape = lowering.shape(x)
    starts, ends = (_integers(node, lowering, name, position) for name, position in (("starts", 1), ("ends", 2)))
    axes = axes_of(node, lowering, 3)
    steps = _integers(node, lowering, "steps", 4)
    first, extents, strides = [0] * len(shape), list(shape), [1] * len(shape)
    for position, (start, end) in enumerate(zip(starts or (), ends or (), strict=True)):
        axis = normalized_axis(axes[position] if axes is not None else position, len(shape))
        step = steps[position] if steps is not None else 1
        picked = range(*slice(start, _end(end, step), step).indices(shape[axis]))
        first[axis], extents[axis], strides[axis] = (picked.start if len(picked) else 0), len(picked), step
    slice_of(lowering, node, existing_form(lowering, x), node.outputs[0], first, extents, strides)


def _end(end: int, step: int) -> int | None:
    """ONNX ends a backward slice at the first element with a number below any index."""
    return None if step < 0 and end < -(2**30) else end


def _integers(node: ir.Node, lowering: Lowering, name: str, position: int) -> tuple[int, ...] | None:
    attribute = node.attributes.get_ints(name)
    given = optional_input(node, position)
    if attribute is not None or given is None:
        return None if attribute is None else tuple(attribute)
    return tuple(int(element) for element in lowering.required_constant(given, f"list of {name}").reshape(-1))


@lowers("Expand")
def expand(node: ir.Node, lowering: Lowering) -> None:
    """Broadcast to a shape, both ways."""
    x = required_input(node, 0)
    wanted = lowering.required_constant(required_input(node, 1), "shape")
    source = lowering.shape(x)
    shape = tuple(int(extent) for extent in np.broadcast_shapes(source, tuple(wanted.tolist())))
    if shape == source:
        lowering.alias(node.outputs[0], x)
        return
    last = lowering.only_channels_last(x) and len(shape) == len(source)

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        trailing = indices[len(shape) - len(source) :]
        return readers[0](*(0 if extent == 1 else index for extent, index in zip(source, trailing, strict=True)))

    emit_elements(lowering, node, [existing_form(lowering, x)], (shape, lowering.dtype(x)), element, channels_last=last)


@lowers("Tile")
def tile(node: ir.Node, lowering: Lowering) -> None:
    """Copies one after another along each axis."""
    x = required_input(node, 0)
    source = existing_form(lowering, x)
    repeats = lowering.required_constant(required_input(node, 1), "number of repeats").reshape(-1)
    shape = [extent * int(repeat) for extent, repeat in zip(source.shape, repeats, strict=True)]

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        return readers[0](
            *(
                index if total == extent else tirx.indexmod(index, extent)
                for index, extent, total in zip(indices, source.shape, shape, strict=True)
            )
        )

    output = (shape, source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)


@lowers("DepthToSpace")
def depth_to_space(node: ir.Node, lowering: Lowering) -> None:
    """Channels to blocks of pixels, the block's position in the higher (DCR) or the lower (CRD) part of the channel."""
    source = existing_form(lowering, required_input(node, 0))
    block = node.attributes.get_int("blocksize", 1)
    batch, channels, height, width = source.shape
    depth = channels // (block * block)
    rows_first = node.attributes.get_string("mode", "DCR") == "DCR"

    def element(readers: list[Reader], n: Expression, c: Expression, y: Expression, x: Expression) -> Expression:
        inside = tirx.indexmod(y, block) * block + tirx.indexmod(x, block)
        channel = inside * depth + c if rows_first else c * (block * block) + inside
        return readers[0](n, channel, tirx.indexdiv(y, block), tirx.indexdiv(x, block))

    output = ((batch, depth, height * block, width * block), source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)


@lowers("SpaceToDepth")
def space_to_depth(node: ir.Node, lowering: Lowering) -> None:
    """Blocks of pixels to channels, the position in the block in the higher (DCR) or the lower (CRD) part of them."""
    source = existing_form(lowering, required_input(node, 0))
    block = node.attributes.get_int("blocksize", 1)
    batch, channels, height, width = source.shape
    rows_first = node.attributes.get_string("mode", "DCR") == "DCR"

    def element(readers: list[Reader], n: Expression, c: Expression, y: Expression, x: Expression) -> Expression:
        inside = tirx.indexdiv(c, channels) if rows_first else tirx.indexmod(c, block * block)
        return readers[0](
            n,
            tirx.indexmod(c, channels) if rows_first else tirx.indexdiv(c, block * block),
            y * block + tirx.indexdiv(inside, block),
            x * block + tirx.indexmod(inside, block),
        )

    output = ((batch, channels * block * block, height // block, width // block), source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)


@lowers("Trilu")
def trilu(node: ir.Node, lowering: Lowering) -> None:
    """The upper or the lower triangle of matrices, the rest zero."""
    source = existing_form(lowering, required_input(node, 0))
    given = optional_input(node, 1)
    diagonal = 0 if given is None else int(lowering.required_constant(given, "diagonal").reshape(-1)[0])
    upper = bool(node.attributes.get_int("upper", 1))
    zero = tirx.const(0, source.value.dtype)

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        row, column = indices[-2], indices[-1]
        kept = column - row >= diagonal if upper else column - row <= diagonal
        return tirx.Select(kept, readers[0](*indices), zero)

    output = (source.shape, source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)


@lowers("ReverseSequence")
def reverse_sequence(node: ir.Node, lowering: Lowering) -> None:
    """The first elements of each sequence of a batch in reverse order, as many as its length says."""
    source = existing_form(lowering, required_input(node, 0))
    lengths = Form(lowering.value(required_input(node, 1)), False)
    batch, time = node.attributes.get_int("batch_axis", 1), node.attributes.get_int("time_axis", 0)

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        length = tirx.Cast("int32", readers[1](indices[batch]))
        position = indices[time]
        moved = tirx.Select(position < length, length - 1 - position, position)
        return readers[0](*_replaced(indices, time, moved))

    output = (source.shape, source.value.dtype)
    emit_elements(lowering, node, [source, lengths], output, element, channels_last=source.channels_last)
