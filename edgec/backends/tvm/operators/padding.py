"""Pad and CenterCropPad: elements around a tensor, constant or repeated from inside it."""

from __future__ import annotations

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit_elements,
    existing_form,
    immediate,
    normalized_axis,
    optional_input,
    required_input,
)
from edgec.backends.tvm.operators.movement import slice_of
from edgec.backends.tvm.operators.reshaping import axes_of


@lowers("Pad")
def pad(node: ir.Node, lowering: Lowering) -> None:
    """Modes constant, reflect, edge and wrap; negative pads crop."""
    source = existing_form(lowering, required_input(node, 0))
    rank = len(source.shape)
    attribute = node.attributes.get_ints("pads", node.attributes.get_ints("paddings"))
    pads = (
        list(attribute)
        if attribute is not None
        else lowering.required_constant(required_input(node, 1), "list of pads").reshape(-1).tolist()
    )
    axes = [normalized_axis(axis, rank) for axis in (axes_of(node, lowering, 3) or range(rank))]
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = int(pads[position]), int(pads[position + len(axes)])
    mode = node.attributes.get_string("mode", "constant")
    if mode == "constant":
        _constant(node, lowering, source, before, after)
    else:
        _repeated(node, lowering, source, before, after, mode)


def _constant(node: ir.Node, lowering: Lowering, source: Form, before: list[int], after: list[int]) -> None:
    dtype = source.value.dtype
    filling = optional_input(node, 2)
    contents = lowering.constant(filling)
    shape = [low + extent + high for low, extent, high in zip(before, source.shape, after, strict=True)]
    if not any(before) and not any(after):
        lowering.alias(node.outputs[0], required_input(node, 0))
        return
    if max(*before, *after) <= 0:
        starts = [-low for low in before]
        slice_of(lowering, node, source, node.outputs[0], starts, shape, [1] * len(shape))
        return
    operands = [source]
    if filling is not None and contents is None:
        operands.append(Form(lowering.value(filling), False))
    fixed = tirx.const(node.attributes.get_float("value", 0.0), dtype) if contents is None else immediate(contents)

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        inside = []
        for index, low, extent, high in zip(indices, before, source.shape, after, strict=True):
            if low > 0:
                inside.append(index >= low)
            if high > 0:
                inside.append(index < low + extent)
        value = _scalar(readers[1]) if len(readers) > 1 else fixed
        read = readers[0](*(index - low for index, low in zip(indices, before, strict=True)))
        return tirx.if_then_else(tirx.all(*inside), read, value)

    emit_elements(lowering, node, operands, (shape, dtype), element, channels_last=source.channels_last)


def _scalar(reader: Reader) -> Expression:
    return reader(*(0 for _ in reader.shape))


def _repeated(node: ir.Node, lowering: Lowering, source: Form, before: list[int], after: list[int], mode: str) -> None:
    shape = [low + extent + high for low, extent, high in zip(before, source.shape, after, strict=True)]

    def inner(index: Expression, low: int, extent: int, total: int) -> Expression:
        if low <= 0 and total - low <= extent:
            return index - low
        if mode == "wrap":
            return tirx.indexmod(index + (-low) % extent, extent)
        if mode == "edge":
            return tirx.min(tirx.max(index - low, 0), extent - 1)
        if extent == 1:
            return 0
        period = 2 * (extent - 1)
        folded = tirx.indexmod(index + (-low) % period, period)
        return tirx.min(folded, period - folded)

    if mode not in ("wrap", "edge", "reflect"):
        raise UnsupportedNodeError(f"its mode {mode} is unknown", "use constant, reflect, edge or wrap")

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        return readers[0](
            *(
                inner(index, low, extent, total)
                for index, low, extent, total in zip(indices, before, source.shape, shape, strict=True)
            )
        )

    output = (shape, source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)


@lowers("CenterCropPad")
def center_crop_pad(node: ir.Node, lowering: Lowering) -> None:
    """Cropped or padded with zeros to a shape, evenly on both sides."""
    source = existing_form(lowering, required_input(node, 0))
    rank = len(source.shape)
    wanted = lowering.required_constant(required_input(node, 1), "shape").reshape(-1).tolist()
    attribute = node.attributes.get_ints("axes")
    axes = [normalized_axis(axis, rank) for axis in (attribute if attribute is not None else range(rank))]
    before, after = [0] * rank, [0] * rank
    for axis, extent in zip(axes, wanted, strict=True):
        missing = int(extent) - source.shape[axis]
        before[axis] = missing // 2 if missing >= 0 else -(-missing // 2)
        after[axis] = missing - before[axis]
    shape = [low + extent + high for low, extent, high in zip(before, source.shape, after, strict=True)]
    zero = tirx.const(0, source.value.dtype)

    def element(readers: list[Reader], *indices: Expression) -> Expression:
        inside = [tirx.const(True, "bool")]
        inside += [index >= low for index, low in zip(indices, before, strict=True) if low > 0]
        inside += [
            index < low + extent
            for index, low, extent, high in zip(indices, before, source.shape, after, strict=True)
            if high > 0
        ]
        read = readers[0](*(index - low for index, low in zip(indices, before, strict=True)))
        return tirx.if_then_else(tirx.all(*inside), read, zero)

    output = (shape, source.value.dtype)
    emit_elements(lowering, node, [source], output, element, channels_last=source.channels_last)
