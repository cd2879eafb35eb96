"""Gather and its kin: elements picked by computed or constant indices. Negative indices count from the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit_elements,
    existing_form,
    normalized_axis,
    required_input,
)
from edgec.backends.tvm.operators.movement import slice_of


def wrapped(index: Expression, extent: int) -> Expression:
    """An index that may count from the end, kept inside the axis so that a wrong one reads no foreign memory."""
    narrow = tirx.Cast("int32", index)
    counted = tirx.Select(narrow < 0, narrow + extent, narrow)
    return tirx.max(tirx.min(counted, extent - 1), 0)


def _wrapped_constant(contents: np.ndarray, extent: int) -> np.ndarray:
    return np.where(contents < 0, contents + extent, contents).clip(0, max(extent - 1, 0)).astype(np.int32)


@lowers("Gather")
def gather(node: ir.Node, lowering: Lowering) -> None:
    """Slices along one axis; the axes of the indices take its place."""
    x, picks = required_input(node, 0), required_input(node, 1)
    source = existing_form(lowering, x)
    axis = normalized_axis(node.attributes.get_int("axis", 0), len(source.shape))
    contents = lowering.constant(picks)
    if contents is not None and contents.size == 1:
        _take_one(node, lowering, source, axis, contents)
        return
    extent = source.shape[axis]
    positions = (
        Form(lowering.value(picks), False)
        if contents is None
        else Form(lowering.literal(f"{picks.name}.indices", _wrapped_constant(contents, extent)), False)
    )
    rank = len(positions.shape)
    shape = (*source.shape[:axis], *positions.shape, *source.shape[axis + 1 :])

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        position = readers[1](*indices[axis : axis + rank])
        inside = position if contents is not None else wrapped(position, extent)
        return readers[0](*indices[:axis], inside, *indices[axis + rank :])

    last = source.channels_last and rank == 1
    emit_elements(lowering, node, [source, positions], (shape, source.value.dtype), element, channels_last=last)


def _take_one(node: ir.Node, lowering: Lowering, source: Form, axis: int, contents: np.ndarray) -> None:
    """One constant index: a slice, whose axis is dropped or replaced by axes of extent 1."""
    extent = source.shape[axis]
    start = int(_wrapped_constant(contents, extent).reshape(-1)[0])
    shape = (*source.shape[:axis], *contents.shape, *source.shape[axis + 1 :])
    if len(shape) == len(source.shape):
        starts = [start if position == axis else 0 for position in range(len(shape))]
        slice_of(lowering, node, source, node.outputs[0], starts, shape, [1] * len(shape))
        return
    added = contents.ndim

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        return readers[0](*indices[:axis], start, *indices[axis + added :])

    emit_elements(lowering, node, [source], (shape, source.value.dtype), element)


@lowers("GatherElements")
def gather_elements(node: ir.Node, lowering: Lowering) -> None:
    """Elements whose index along one axis is given for each of them."""
    source = existing_form(lowering, required_input(node, 0))
    picks = existing_form(lowering, required_input(node, 1))
    axis = normalized_axis(node.attributes.get_int("axis", 0), len(source.shape))

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        inside = wrapped(readers[1](*indices), source.shape[axis])
        return readers[0](*indices[:axis], inside, *indices[axis + 1 :])

    output = (picks.shape, source.value.dtype)
    emit_elements(lowering, node, [source, picks], output, element, channels_last=source.channels_last)


@lowers("GatherND")
def gather_nd(node: ir.Node, lowering: Lowering) -> None:
    """Slices whose leading indices, after the batch axes, are the rows of the index tensor."""
    source = existing_form(lowering, required_input(node, 0))
    picks = Form(lowering.value(required_input(node, 1)), False)
    batch = node.attributes.get_int("batch_dims", 0)
    depth = picks.shape[-1]
    rank = len(picks.shape) - 1
    shape = (*picks.shape[:-1], *source.shape[batch + depth :])

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        row = indices[:rank]
        inside = [wrapped(readers[1](*row, position), source.shape[batch + position]) for position in range(depth)]
        return readers[0](*indices[:batch], *inside, *indices[rank:])

    emit_elements(lowering, node, [source, picks], (shape, source.value.dtype), element)


def flat_strides(shape: Sequence[int]) -> list[int]:
    """The distance in elements between neighbours along each axis of a dense row-major tensor."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
