"""Small kernel graphs written by hand, with what they compute in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgec.backends.tvm.kernel_graph import Block, Operation, Pattern, Value, View

Array = np.ndarray
Reference = Callable[..., Array]


def value(name: str, shape: Sequence[int], dtype: str = "float32") -> Value:
    return Value(name, tuple(shape), dtype)


def constant(name: str, data: Any, dtype: str = "float32") -> Value:
    array = np.asarray(data, dtype)
    return Value(name, array.shape, dtype, array)


def operation(
    name: str, pattern: Pattern, inputs: Sequence[Value], output: Value, compute: Callable[..., Any]
) -> Operation:
    """An operation with one output; `compute` takes and returns TE tensors."""
    return Operation(name, name.split("_")[0], pattern, tuple(inputs), (output,), lambda tensors: [compute(*tensors)])


def binary(name: str, kind: str, one: Value, other: Value, output: Value) -> Operation:
    """`add`, `multiply`, `subtract`, `maximum`, `less` with numpy broadcasting."""

    def compute(left: Any, right: Any) -> Any:
        from tvm import topi

        made = getattr(topi, kind)(left, right)
        return made if str(made.dtype) == output.dtype else made.astype(output.dtype)

    return operation(name, Pattern.ELEMENTWISE, (one, other), output, compute)


def unary(name: str, kind: str, source: Value, output: Value) -> Operation:
    """`exp`, `negative`, `abs`."""

    def compute(tensor: Any) -> Any:
        from tvm import topi

        return getattr(topi, kind)(tensor)

    return operation(name, Pattern.ELEMENTWISE, (source,), output, compute)


def transpose(name: str, source: Value, output: Value, axes: tuple[int, ...]) -> Operation:
    def compute(tensor: Any) -> Any:
        from tvm import topi

        return topi.transpose(tensor, axes)

    return operation(name, Pattern.INJECTIVE, (source,), output, compute)


def row_sum(name: str, source: Value, output: Value) -> Operation:
    """Sum over the last axis, kept as 1."""

    def compute(tensor: Any) -> Any:
        from tvm import topi

        return topi.sum(tensor, axis=-1, keepdims=True)

    return operation(name, Pattern.REDUCTION, (source,), output, compute)


def matrix_product(name: str, left: Value, right: Value, output: Value) -> Operation:
    def compute(a: Any, b: Any) -> Any:
        from tvm import te

        k = te.reduce_axis((0, left.shape[1]), "k")
        return te.compute(output.shape, lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name)

    return operation(name, Pattern.ANCHOR, (left, right), output, compute)


UNARY = ("negative", "abs")
BINARY = ("add", "multiply", "subtract", "maximum")


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Random graphs of products, sums, transposes, elementwise operations and views of 4×4 matrices and columns."""
    start = value("x", (4, 4))
    square, column = [start], []
    steps: list[Operation | View] = []
    for index in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(("unary", "binary", "binary", "product", "transpose", "sum", "broadcast", "view")))
        source = draw(st.sampled_from(square))
        result = value(f"v{index}", (4, 4))
        name = f"{kind}_{index}"
        if kind == "unary":
            steps.append(unary(name, draw(st.sampled_from(UNARY)), source, result))
        elif kind == "binary":
            other = draw(st.sampled_from(square))
            steps.append(binary(name, draw(st.sampled_from(BINARY)), source, other, result))
        elif kind == "product":
            steps.append(matrix_product(name, source, constant("w", np.eye(4) * 0.5), result))
        elif kind == "transpose":
            steps.append(transpose(name, source, result, (1, 0)))
        elif kind == "view":
            steps.append(View(name, source, result))
        elif kind == "sum":
            result = value(f"v{index}", (4, 1))
            steps.append(row_sum(name, source, result))
        elif column:
            steps.append(binary(name, "add", draw(st.sampled_from(column)), source, result))
        else:
            continue
        (square if result.shape == (4, 4) else column).append(result)
    made = square[1:] + column
    results = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3)) if made else [start]
    return Block((start,), tuple(results), list(steps))


def concatenation(name: str, sources: Sequence[Value], output: Value, axis: int) -> Operation:
    def compute(*tensors: Any) -> Any:
        from tvm import topi

        return topi.concatenate(tensors, axis)

    return replace(operation(name, Pattern.INJECTIVE, sources, output, compute), joins=axis)


def box(name: str, source: Value, output: Value, starts: tuple[int, ...]) -> Operation:
    """The box of `source` that begins at `starts` and has the shape of `output`."""

    def compute(tensor: Any) -> Any:
        from tvm import te

        def element(*indices: Any) -> Any:
            return tensor(*(index + start for index, start in zip(indices, starts, strict=True)))

        return te.compute(output.shape, element, "box")

    return replace(operation(name, Pattern.INJECTIVE, (source,), output, compute), cuts=starts)
