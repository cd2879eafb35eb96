"""Operators that only move elements: reshaping, transposing, joining, slicing.

A network is written for the batch that it was exported with, often 1, and trained with another: a fixed extent that
stands for the batch is opened here where the operator shows which it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir
import torch
from brevitas.backport import fx
from torch import Tensor

from edgec.training.graph_writer import GraphWriter, NoTorchFormError
from edgec.training.operators.registry import operator


@operator("Reshape")
def _reshape(writer: GraphWriter, node: ir.Node) -> fx.Node:
    x = writer.input(node)
    if writer.constant(node, 1) is None:
        return writer.call(_reshaped_to, x, writer.input(node, 1))
    target = writer.integers(node, 1) or []
    if node.attributes.get_int("allowzero", 0) and 0 in target:
        raise NoTorchFormError("its output is empty")
    source = _extents(node)
    if len(target) == 2 and len(source) > 2 and _is_flattening(source, target, writer.batch):
        # Spelled as what it is, so that it stays right when the number of channels changes.
        return writer.call(torch.flatten, x, 1)
    if _leads_with_batch(source, target, writer.batch) and -1 not in target[1:]:
        target = [-1, *target[1:]]
    if 0 in target[1:] or (0 in target and -1 in target):
        return writer.call(_reshaped, x, target)
    if target and target[0] == 0:
        target = [-1, *target[1:]]
    return writer.call(torch.reshape, x, tuple(target))


def _is_flattening(source: Sequence[int | None], target: Sequence[int], batch: int | None) -> bool:
    rest = [extent for extent in source[1:] if extent is not None]
    if len(rest) < len(source) - 1:
        return target[1] == -1 and target[0] in {0, batch}
    return target[1] == math.prod(rest) or (target[1] == -1 and target[0] in {0, source[0], batch})


def _leads_with_batch(source: Sequence[int | None], target: Sequence[int], batch: int | None) -> bool:
    return len(target) > 1 and batch is not None and bool(source) and source[0] == target[0] == batch


def _reshaped(x: Tensor, target: Sequence[int]) -> Tensor:
    """ONNX Reshape: an extent of 0 is that of the input."""
    return x.reshape([x.shape[axis] if extent == 0 else extent for axis, extent in enumerate(target)])


def _reshaped_to(x: Tensor, target: Tensor) -> Tensor:
    return _reshaped(x, [int(extent) for extent in target])


@operator("Flatten")
def _flatten(writer: GraphWriter, node: ir.Node) -> fx.Node:
    axis = node.attributes.get_int("axis", 1)
    if axis == 1:
        return writer.call(torch.flatten, writer.input(node), 1)
    return writer.call(_two_axes, writer.input(node), axis)


def _two_axes(x: Tensor, axis: int) -> Tensor:
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Transpose")
def _transpose(writer: GraphWriter, node: ir.Node) -> fx.Node:
    order = node.attributes.get_ints("perm", [])
    return writer.call(torch.permute, writer.input(node), list(order or reversed(range(writer.rank(node)))))


@operator("Squeeze")
def _squeeze(writer: GraphWriter, node: ir.Node) -> fx.Node:
    axes, x = writer.integers(node, 1, "axes"), writer.input(node)
    if axes is None:
        axes = [axis for axis, extent in enumerate(_extents(node)) if extent == 1]
    return writer.call(torch.squeeze, x, tuple(axes))


@operator("Unsqueeze")
def _unsqueeze(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(_unsqueezed, writer.input(node), writer.integers(node, 1, "axes") or [])


def _unsqueezed(x: Tensor, axes: Sequence[int]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Concat")
def _concatenate(writer: GraphWriter, node: ir.Node) -> fx.Node:
    parts = [writer.input(node, index) for index in range(len(node.inputs))]
    return writer.call(_joined, parts, node.attributes.get_int("axis", 0))


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Concatenation; a constant part with a batch of 1, such as a class token, stands in every sample."""
    batch = max(part.shape[0] for part in parts) if parts[0].dim() else 1
    if axis % max(parts[0].dim(), 1):
        parts = [part.expand(batch, *part.shape[1:]) if part.shape[0] == 1 else part for part in parts]
    return torch.cat(list(parts), axis)


@operator("Split")
def _split(writer: GraphWriter, node: ir.Node) -> list[fx.Node]:
    sizes, axis, count = writer.integers(node, 1, "split"), node.attributes.get_int("axis", 0), len(node.outputs)
    parts = writer.call(_parts, writer.input(node), sizes, count, axis)
    return [writer.call(_item, parts, index) for index in range(count)]


def _parts(x: Tensor, sizes: Sequence[int] | None, count: int, axis: int) -> Sequence[Tensor]:
    parts: Sequence[Tensor] = torch.split(x, list(sizes) if sizes else -(-x.shape[axis] // count), axis)
    return parts


def _item(parts: Sequence[Tensor], index: int) -> Tensor:
    return parts[index]


@operator("Slice")
def _slice(writer: GraphWriter, node: ir.Node) -> fx.Node:
    fixed = "starts" in node.attributes or (
        writer.constant(node, 1) is not None and writer.constant(node, 2) is not None
    )
    if not fixed:
        axes = writer.integers(node, 3) or list(range(writer.rank(node)))
        return writer.call(_sliced_at, writer.input(node), writer.input(node, 1), writer.input(node, 2), axes)
    starts, ends = writer.integers(node, 1, "starts") or [], writer.integers(node, 2, "ends") or []
    axes = writer.integers(node, 3, "axes") or list(range(len(starts)))
    steps = writer.integers(node, 4) or [1] * len(starts)
    return writer.call(_sliced, writer.input(node), starts, ends, axes, steps)


def _sliced(x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """ONNX Slice; a negative step becomes a selection, which torch's slices lack."""
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(x.shape[axis])[_python_slice(start, end, step)]
        if step > 0:
            x = (
                x.narrow(axis, chosen.start, max(chosen.stop - chosen.start, 0))
                if step == 1
                else _strided(x, axis, chosen)
            )
        else:
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return x


def _strided(x: Tensor, axis: int, chosen: range) -> Tensor:
    return x[(slice(None),) * (axis % x.dim()) + (slice(chosen.start, chosen.stop, chosen.step),)]


def _python_slice(start: int, end: int, step: int) -> slice:
    """An end far below zero means: to the first element, which Python writes as None."""
    return slice(start, None if step < 0 and end < -(2**31) + 2 else end, step)


def _sliced_at(x: Tensor, starts: Tensor, ends: Tensor, axes: Sequence[int]) -> Tensor:
    return _sliced(x, starts.tolist(), ends.tolist(), axes, [1] * len(axes))


@operator("Gather")
def _gather(writer: GraphWriter, node: ir.Node) -> fx.Node:
    axis, indices, table = node.attributes.get_int("axis", 0), writer.constant(node, 1), writer.constant(node, 0)
    is_embedding = table is not None and table.dtype.kind == "f" and table.ndim > 1 and indices is None
    x = writer.trained(node, 0) if is_embedding else writer.input(node)
    if indices is not None and indices.ndim == 0:
        return writer.call(torch.select, x, axis, int(indices))
    return writer.call(_gathered, x, writer.input(node, 1), axis)


def _gathered(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    axis %= x.dim()
    inside = torch.where(indices < 0, indices + x.shape[axis], indices).long()
    chosen = x.index_select(axis, inside.reshape(-1))
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@operator("GatherElements")
def _gather_elements(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(_elements, writer.input(node), node.attributes.get_int("axis", 0), writer.input(node, 1))


def _elements(x: Tensor, axis: int, indices: Tensor) -> Tensor:
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices).long())


@operator("Expand")
def _expand(writer: GraphWriter, node: ir.Node) -> fx.Node:
    if writer.constant(node, 1) is None:
        return writer.call(_expanded_to, writer.input(node), writer.input(node, 1))
    target = writer.integers(node, 1) or []
    return writer.call(_expanded, writer.input(node), target)


def _expanded(x: Tensor, target: Sequence[int]) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(target)))


def _expanded_to(x: Tensor, target: Tensor) -> Tensor:
    return _expanded(x, [int(extent) for extent in target])


@operator("Tile")
def _tile(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(torch.tile, writer.input(node), tuple(writer.integers(node, 1) or ()))


@operator("Shape")
def _shape(writer: GraphWriter, node: ir.Node) -> fx.Node:
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", 2**31)
    return writer.call(_shape_of, writer.input(node), start, end)


def _shape_of(x: Tensor, start: int, end: int) -> Tensor:
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@operator("Size")
def _size(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(_size_of, writer.input(node))


def _size_of(x: Tensor) -> Tensor:
    return torch.tensor(x.numel(), dtype=torch.int64)


@operator("ConstantOfShape")
def _filled(writer: GraphWriter, node: ir.Node) -> fx.Node:
    value = node.attributes.get_tensor("value")
    number = 0.0 if value is None else value.numpy().reshape(()).item()
    return writer.call(_full, writer.input(node), number)


def _full(shape: Tensor, number: float | int | bool) -> Tensor:
    return torch.full([int(extent) for extent in shape], number)


@operator("Range")
def _range(writer: GraphWriter, node: ir.Node) -> fx.Node:
    return writer.call(_counted, *(writer.input(node, index) for index in range(3)))


def _counted(start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


@operator("Trilu")
def _triangle(writer: GraphWriter, node: ir.Node) -> fx.Node:
    diagonal = (writer.integers(node, 1) or [0])[0]
    function = torch.triu if node.attributes.get_int("upper", 1) else torch.tril
    return writer.call(function, writer.input(node), diagonal)


@operator("Einsum")
def _einsum(writer: GraphWriter, node: ir.Node) -> fx.Node:
    inputs = [writer.input(node, index) for index in range(len(node.inputs))]
    return writer.call(torch.einsum, node.attributes.get_string("equation", "").replace(" ", ""), *inputs)


def _extents(node: ir.Node) -> list[int | None]:
    """The extents of the first input, None where open; empty if nothing is known."""
    value = node.inputs[0]
    if value is None or value.shape is None:
        return []
    return [extent if isinstance(extent, int) else None for extent in value.shape]
