"""Emitting computations that are written in ONNX's order of the axes, whatever form the values have in memory.

An operator states what one element of its output is, as a function of the element's ONNX indices, and reads its inputs
through `Reader`s that take ONNX indices too. Where the inputs exist only channels-last, so does the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import (
    Lowering,
    permutation_from_channels_last,
    permutation_to_channels_last,
)

Expression = Any
"""A TVM expression; TVM ships no types."""

Tensor = Any
"""A TE tensor."""


def type_of(expression: Expression) -> str:
    """Numpy's name of the element type of an expression."""
    return str(expression.ty.dtype)


@dataclass(frozen=True)
class Form:
    """A value in memory and the order of its axes there."""

    value: Value
    channels_last: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents in ONNX's order."""
        return from_memory(self.value.shape, self.channels_last)


def to_memory(extents: Sequence[Any], channels_last: bool) -> tuple[Any, ...]:
    """Extents or indices in ONNX's order, rearranged to the order in memory."""
    if not channels_last:
        return tuple(extents)
    return tuple(extents[axis] for axis in permutation_to_channels_last(len(extents)))


def from_memory(extents: Sequence[Any], channels_last: bool) -> tuple[Any, ...]:
    """Extents or indices in the order in memory, rearranged to ONNX's order."""
    if not channels_last:
        return tuple(extents)
    return tuple(extents[axis] for axis in permutation_from_channels_last(len(extents)))


class Reader:
    """A TE tensor that is read by ONNX indices."""

    def __init__(self, tensor: Tensor, channels_last: bool = False) -> None:
        self.tensor = tensor
        self.channels_last = channels_last

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents in ONNX's order."""
        return tuple(int(extent) for extent in from_memory(tuple(self.tensor.shape), self.channels_last))

    def __call__(self, *indices: Expression) -> Expression:
        """The element at some ONNX indices."""
        return self.tensor(*to_memory(indices, self.channels_last))


class Inline(Reader):
    """Elements that are computed where they are read."""

    def __init__(self, shape: Sequence[int], element: Callable[..., Expression]) -> None:
        super().__init__(None)
        self._shape, self._element = tuple(shape), element

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents in ONNX's order."""
        return self._shape

    def __call__(self, *indices: Expression) -> Expression:
        """The element at some ONNX indices."""
        return self._element(*indices)


def stage(
    shape: Sequence[int], element: Callable[..., Expression], *, channels_last: bool = False, name: str = "stage"
) -> Reader:
    """A TE tensor whose elements are given as a function of ONNX indices."""
    tensor = te.compute(
        to_memory(shape, channels_last), lambda *axes: element(*from_memory(axes, channels_last)), name=name
    )
    return Reader(tensor, channels_last)


def existing_form(lowering: Lowering, onnx_value: ir.Value) -> Form:
    """A value in a form that it has already."""
    if lowering.only_channels_last(onnx_value):
        return Form(lowering.channels_last(onnx_value), True)
    return Form(lowering.value(onnx_value), False)


def form(lowering: Lowering, onnx_value: ir.Value, channels_last: bool) -> Form:
    """A value in the wanted form, which is made if it is not there yet."""
    return Form(lowering.channels_last(onnx_value) if channels_last else lowering.value(onnx_value), channels_last)


def define(lowering: Lowering, onnx_value: ir.Value, made: Value, channels_last: bool) -> None:
    """Set the form of a node's output."""
    (lowering.define_channels_last if channels_last else lowering.define)(onnx_value, made)


def output_name(onnx_value: ir.Value, channels_last: bool) -> str:
    """The name of an output in one of its forms."""
    return f"{onnx_value.name}.channels_last" if channels_last else str(onnx_value.name)


Build = Callable[[list[Reader]], "Reader | Sequence[Reader]"]


def emit(
    lowering: Lowering,
    node: ir.Node,
    pattern: Pattern,
    inputs: Sequence[Form],
    outputs: Sequence[tuple[ir.Value, Sequence[int], str]],
    build: Build,
    *,
    channels_last: bool = False,
    macs: int = 0,
) -> None:
    """Append an operation and define its outputs, given as (ONNX value, shape in ONNX's order, dtype).

    `build` makes the readers of the outputs from those of the inputs; outputs that the node leaves out (those with an
    empty name) are made all the same.
    """
    described = [
        (output_name(onnx_value, channels_last), to_memory(tuple(shape), channels_last), dtype)
        for onnx_value, shape, dtype in outputs
    ]

    def compute(tensors: Sequence[Any]) -> Sequence[Any]:
        readers = [Reader(tensor, operand.channels_last) for tensor, operand in zip(tensors, inputs, strict=True)]
        made = build(readers)
        return [made.tensor] if isinstance(made, Reader) else [reader.tensor for reader in made]

    results = lowering.emit_several(node, pattern, [operand.value for operand in inputs], described, compute, macs=macs)
    for (onnx_value, _, _), result in zip(outputs, results, strict=True):
        define(lowering, onnx_value, result, channels_last)


def emit_elements(
    lowering: Lowering,
    node: ir.Node,
    inputs: Sequence[Form],
    output: tuple[Sequence[int], str],
    element: Callable[..., Expression],
    *,
    pattern: Pattern = Pattern.INJECTIVE,
    channels_last: bool = False,
) -> None:
    """Append an operation for a node's only output: `element(readers, *indices)` is one element of it."""
    shape, dtype = output
    emit(
        lowering,
        node,
        pattern,
        inputs,
        [(node.outputs[0], shape, dtype)],
        lambda readers: stage(
            shape,
            lambda *indices: element(readers, *indices),
            channels_last=channels_last,
            name=node.op_type.lower(),
        ),
        channels_last=channels_last,
    )


def broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that numpy broadcasts some shapes to.

    Raises:
        UnsupportedNodeError: they do not broadcast.
    """
    try:
        return tuple(int(extent) for extent in np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise UnsupportedNodeError(
            f"its inputs of shapes {[list(shape) for shape in shapes]} do not broadcast",
            "run the ONNX checker on the model; it is not valid",
        ) from error


def immediate(contents: np.ndarray, dtype: str | None = None) -> Expression:
    """The only element of a constant as an expression."""
    return tirx.const(contents.reshape(-1)[0].item(), dtype or str(contents.dtype))


def emit_elementwise(
    lowering: Lowering,
    node: ir.Node,
    inputs: Sequence[ir.Value],
    dtype: str,
    element: Callable[..., Expression],
) -> None:
    """Append an elementwise operation with numpy broadcasting; `element` takes one expression for each input.

    Constants of one element become immediates. The output takes the form of the largest input that is no constant.
    """
    emit_operands(lowering, node, inputs, dtype, element)


def emit_operands(
    lowering: Lowering,
    node: ir.Node,
    operands: Sequence[ir.Value | Value],
    dtype: str,
    element: Callable[..., Expression],
    *,
    output: ir.Value | None = None,
) -> None:
    """Append an elementwise operation on ONNX values and on values that ONNX does not have, in canonical form."""
    shapes = [operand.shape if isinstance(operand, Value) else lowering.shape(operand) for operand in operands]
    shape = broadcast_shape(shapes)
    last = _prefers_channels_last(lowering, [x for x in operands if isinstance(x, ir.Value)], shape)
    read: list[Value] = []
    sources: list[int | Expression] = []
    for operand in operands:
        contents = operand.data if isinstance(operand, Value) else lowering.constant(operand)
        if contents is not None and contents.size == 1:
            sources.append(immediate(contents))
        else:
            sources.append(len(read))
            read.append(_broadcastable(lowering, operand, len(shape), last))

    def compute(tensors: Sequence[Any]) -> Sequence[Any]:
        def at(*indices: Expression) -> Expression:
            return element(
                *(_read(tensors[source], indices) if isinstance(source, int) else source for source in sources)
            )

        return [te.compute(to_memory(shape, last), at, name=node.op_type.lower())]

    target = node.outputs[0] if output is None else output
    described = (output_name(target, last), to_memory(shape, last), dtype)
    define(lowering, target, lowering.emit(node, Pattern.ELEMENTWISE, read, described, compute), last)


def _read(tensor: Tensor, indices: Sequence[Expression]) -> Expression:
    """The element of a tensor that numpy broadcasts to some indices."""
    extents = [int(extent) for extent in tensor.shape]
    trailing = indices[len(indices) - len(extents) :]
    return tensor(*(0 if extent == 1 else index for extent, index in zip(extents, trailing, strict=True)))


def _prefers_channels_last(lowering: Lowering, inputs: Sequence[ir.Value], shape: tuple[int, ...]) -> bool:
    if len(shape) < 3:
        return False
    computed = [
        onnx_value
        for onnx_value in inputs
        if len(lowering.shape(onnx_value)) == len(shape) and lowering.constant(onnx_value) is None
    ]
    if not computed:
        return False
    largest = max(math.prod(lowering.shape(onnx_value)) for onnx_value in computed)
    return any(
        lowering.only_channels_last(onnx_value)
        for onnx_value in computed
        if math.prod(lowering.shape(onnx_value)) == largest
    )


def _broadcastable(lowering: Lowering, operand: ir.Value | Value, rank: int, channels_last: bool) -> Value:
    """An input in a form that broadcasts, axis by axis, to an output of some rank."""
    if isinstance(operand, Value):
        source = operand
    elif channels_last and len(lowering.shape(operand)) == rank:
        return lowering.channels_last(operand)
    else:
        source = lowering.value(operand)
    if not channels_last:
        return source
    widened = (*(1,) * (rank - len(source.shape)), *source.shape)
    full = lowering.view(source.name, source, (f"{source.name}.widened", widened, source.dtype))
    return lowering.transpose(full, permutation_to_channels_last(rank), f"{source.name}.channels_last")


def normalized_axis(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        UnsupportedNodeError: there is no such axis.
    """
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedNodeError(
            f"its axis {axis} does not exist in a tensor of rank {rank}", "run the ONNX checker on the model"
        )
    return axis % rank if rank else 0


def optional_input(node: ir.Node, position: int) -> ir.Value | None:
    """An input of a node, None if it is left out."""
    return node.inputs[position] if position < len(node.inputs) else None


def required_input(node: ir.Node, position: int) -> ir.Value:
    """An input of a node.

    Raises:
        UnsupportedNodeError: it is left out.
    """
    found = optional_input(node, position)
    if found is None:
        raise UnsupportedNodeError(f"its input {position} is missing", "run the ONNX checker on the model")
    return found
