"""Pass `fold-pad`: a Pad in front of a convolution or pooling becomes the padding of that node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.graph_edit import constant, input_of, nodes_of, remove_unused, scalar, static_shape

_NEVER_NEGATIVE = {"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Exp", "Abs", "Sqrt"}


class FoldPad(Pass):
    """Add the extents of a constant Pad to the `pads` of the nodes that read it.

    Case 1: Pad with 0 before Conv; unequal sides are fine, `auto_pad` is spelled out from the static shapes.
    Case 2: Pad with 0 before AveragePool, whose window then counts the padding: `count_include_pad` becomes 1. Only if
        the pooling had no padding of its own that it does not count, and without `ceil_mode`.
    Case 3: Pad with −inf before MaxPool; also Pad with 0 if the values cannot be negative (after Relu, Sigmoid, a Clip
        from 0 up), since every window holds at least one of them: the padding must be smaller than the window.
    Case 4: several readers: each that can takes the padding; the Pad goes with its last reader.

    Pads that reflect or repeat, crop (negative extents) or pad batch or channels stay.
    """

    name: ClassVar[str] = "fold-pad"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold in place."""
        folded = 0
        skipped: list[Skip] = []
        for pad in nodes_of(model, "Pad"):
            try:
                padding = _Padding.of(pad)
            except _StaysError as obstacle:
                skipped.append(Skip(str(pad.name), str(obstacle)))
                continue
            for consumer in sorted({node for node, _ in pad.outputs[0].uses()}, key=lambda node: str(node.name)):
                try:
                    _fold(padding, consumer)
                    folded += 1
                except _StaysError as obstacle:
                    skipped.append(Skip(str(pad.name), f"{consumer.op_type} {consumer.name}: {obstacle}"))
            remove_unused([pad])
        return PassResult(model, modified=folded > 0, stats={"folded": folded}, skipped=tuple(skipped))


class _StaysError(Exception):
    """A Pad must stay; the message says why."""


@dataclass(frozen=True, eq=False)
class _Padding:
    """What a Pad adds at the spatial axes, and with which value."""

    source: ir.Value
    result: ir.Value
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    value: float

    @classmethod
    def of(cls, pad: ir.Node) -> _Padding:
        source = pad.inputs[0]
        if source is None or source.shape is None:
            raise _StaysError("the rank of its input is unknown")
        if pad.attributes.get_string("mode", "constant") != "constant":
            raise _StaysError(f"its mode is {pad.attributes['mode'].as_string()}")
        rank = len(source.shape)
        if "pads" in pad.attributes:
            extents: list[int] = list(pad.attributes["pads"].as_ints())
            value: float | None = pad.attributes.get_float("value", 0.0)
        else:
            extents = _extents_from_inputs(pad, rank)
            value = 0.0 if input_of(pad, 2) is None else scalar(input_of(pad, 2))
        if value is None:
            raise _StaysError("its value is computed at run time")
        if len(extents) != 2 * rank or rank < 3:
            raise _StaysError("it has no spatial axes")
        if any(extent < 0 for extent in extents):
            raise _StaysError("it crops")
        if any(extents[axis] or extents[rank + axis] for axis in (0, 1)):
            raise _StaysError("it pads batch or channels")
        return cls(source, pad.outputs[0], tuple(extents[2:rank]), tuple(extents[rank + 2 :]), value)


def _extents_from_inputs(pad: ir.Node, rank: int) -> list[int]:
    given = constant(input_of(pad, 1))
    if given is None:
        raise _StaysError("its extents are computed at run time")
    axes_value = input_of(pad, 3)
    if axes_value is None:
        return [int(extent) for extent in given.reshape(-1)]
    axes = constant(axes_value)
    if axes is None:
        raise _StaysError("its axes are computed at run time")
    if given.size != 2 * axes.size:
        raise _StaysError("its extents do not fit its axes")
    extents = [0] * (2 * rank)
    for position, axis in enumerate(axes.reshape(-1)):
        extents[int(axis) % rank] = int(given[position])
        extents[int(axis) % rank + rank] = int(given[position + axes.size])
    return extents


def _fold(padding: _Padding, consumer: ir.Node) -> None:
    """Add the padding to a reader and let it read the source."""
    if consumer.domain != "" or consumer.op_type not in {"Conv", "AveragePool", "MaxPool"}:
        raise _StaysError("it has no padding of its own")
    if [value for value in consumer.inputs if value is padding.result] != [consumer.inputs[0]]:
        raise _StaysError("it reads the padded value as its weights")
    kernel = _kernel(consumer)
    begins, ends = _own_pads(consumer, kernel)
    spatial = len(kernel)
    if len(padding.begins) != spatial:
        raise _StaysError("the number of spatial axes differs")
    total = [a + b for a, b in zip((*begins, *ends), (*padding.begins, *padding.ends), strict=True)]
    if consumer.op_type == "AveragePool":
        _check_average(padding, consumer, (*begins, *ends), total, kernel)
        consumer.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    elif consumer.op_type == "MaxPool":
        _check_maximum(padding, consumer, total, kernel)
    elif padding.value != 0:
        raise _StaysError("a convolution pads with 0")
    consumer.attributes.pop("auto_pad", None)
    consumer.attributes["pads"] = ir.AttrInt64s("pads", total)
    consumer.replace_input_with(0, padding.source)


def _check_average(
    padding: _Padding, consumer: ir.Node, own: tuple[int, ...], total: list[int], kernel: tuple[int, ...]
) -> None:
    """Case 2."""
    if padding.value != 0:
        raise _StaysError("an average pool pads with 0")
    if any(own) and not consumer.attributes.get_int("count_include_pad", 0):
        raise _StaysError("it does not count its own padding")
    if consumer.attributes.get_int("ceil_mode", 0):
        raise _StaysError("windows that overhang (ceil_mode) count differently")
    _check_smaller(total, kernel)


def _check_maximum(padding: _Padding, consumer: ir.Node, total: list[int], kernel: tuple[int, ...]) -> None:
    """Case 3."""
    if len(consumer.outputs) > 1 and consumer.outputs[1].uses():
        raise _StaysError("the indices of the maxima would change")
    if padding.value == 0:
        if not _never_negative(padding.source):
            raise _StaysError("padding with 0 could win against negative values")
    elif padding.value != float("-inf") and padding.value > np.finfo(np.float32).min:
        raise _StaysError(f"it pads with {padding.value}, not with −inf")
    if any(dilation != 1 for dilation in consumer.attributes.get_ints("dilations", [1])):
        raise _StaysError("a dilated window may lie in the padding as a whole")
    if consumer.attributes.get_int("ceil_mode", 0):
        raise _StaysError("windows that overhang (ceil_mode) end differently")
    _check_smaller(total, kernel)


def _check_smaller(total: list[int], kernel: tuple[int, ...]) -> None:
    if any(extent >= size for extent, size in zip(total, kernel * 2, strict=True)):
        raise _StaysError("the padding is not smaller than the window")


def _never_negative(value: ir.Value) -> bool:
    producer = value.producer()
    if producer is None or producer.domain != "":
        return False
    if producer.op_type == "Clip":
        low = (
            producer.attributes.get_float("min", -1.0)
            if "min" in producer.attributes
            else scalar(input_of(producer, 1))
        )
        return low is not None and low >= 0
    return producer.op_type in _NEVER_NEGATIVE


def _kernel(consumer: ir.Node) -> tuple[int, ...]:
    if "kernel_shape" in consumer.attributes:
        return tuple(consumer.attributes["kernel_shape"].as_ints())
    weights = static_shape(input_of(consumer, 1))
    if weights is None:
        raise _StaysError("the size of its window is unknown")
    return weights[2:]


def _own_pads(consumer: ir.Node, kernel: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding that a node has already, `auto_pad` spelled out."""
    spatial = len(kernel)
    automatic = consumer.attributes.get_string("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        pads = consumer.attributes.get_ints("pads", [0] * (2 * spatial))
        return tuple(pads[:spatial]), tuple(pads[spatial:])
    if automatic == "VALID":
        return (0,) * spatial, (0,) * spatial
    shape = static_shape(consumer.inputs[0])
    if shape is None:
        raise _StaysError(f"auto_pad {automatic} of an unknown shape")
    strides = consumer.attributes.get_ints("strides", [1] * spatial)
    dilations = consumer.attributes.get_ints("dilations", [1] * spatial)
    small, large = [], []
    for extent, size, stride, dilation in zip(shape[2:], kernel, strides, dilations, strict=True):
        needed = max(0, (-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent)
        small.append(needed // 2)
        large.append(needed - needed // 2)
    begins, ends = (small, large) if automatic == "SAME_UPPER" else (large, small)
    return tuple(begins), tuple(ends)
