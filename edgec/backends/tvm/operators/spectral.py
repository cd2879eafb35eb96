"""Fourier transforms of known length, as products with a constant matrix; and determinants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit,
    normalized_axis,
    optional_input,
    required_input,
    stage,
)


def _scalar(lowering: Lowering, given: ir.Value | None, role: str) -> int | None:
    return None if given is None else int(lowering.required_constant(given, role).reshape(-1)[0])


def _rotation(length: int, bins: int, *, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the angle of sample n in bin k: [bins, length]."""
    turns = np.outer(np.arange(bins), np.arange(length)) % length / length
    angle = (2 if inverse else -2) * np.pi * turns
    scale = 1.0 / length if inverse else 1.0
    return np.cos(angle) * scale, np.sin(angle) * scale


@lowers("DFT")
def fourier_transform(node: ir.Node, lowering: Lowering) -> None:
    """The discrete Fourier transform along one axis of real or complex numbers (last axis of extent 1 or 2)."""
    source = Form(lowering.value(required_input(node, 0)), False)
    shape, dtype, rank = source.shape, source.value.dtype, len(source.shape)
    default = 1 if lowering.opset(node) < 20 else -2
    given = _scalar(lowering, optional_input(node, 2), "axis")
    axis = normalized_axis(given if given is not None else node.attributes.get_int("axis", default), rank)
    length = _scalar(lowering, optional_input(node, 1), "length") or shape[axis]
    one_sided = bool(node.attributes.get_int("onesided", 0))
    inverse = bool(node.attributes.get_int("inverse", 0))
    if one_sided and inverse:
        _real_inverse(node, lowering, source, axis)
        return
    bins = length // 2 + 1 if one_sided else length
    used = min(length, shape[axis])
    cosine, sine = (part[:, :used].astype(dtype) for part in _rotation(length, bins, inverse=inverse))
    operands = [source, *_tables(node, lowering, [cosine, sine])]
    output = (*shape[:axis], bins, *shape[axis + 1 : -1], 2)

    def build(readers: list[Reader]) -> Reader:
        n = te.reduce_axis((0, used), name="n")

        def at(*i: Expression) -> Expression:
            def sample(part: int) -> Expression:
                return readers[0](*i[:axis], n, *i[axis + 1 : -1], part)

            real, imaginary = readers[1](i[axis], n), readers[2](i[axis], n)
            is_real = tirx.EQ(i[-1], 0)
            if shape[-1] == 1:
                return te.sum(sample(0) * tirx.Select(is_real, real, imaginary), axis=n)
            sums = sample(0) * real - sample(1) * imaginary, sample(0) * imaginary + sample(1) * real
            return te.sum(tirx.Select(is_real, *sums), axis=n)

        return stage(output, at, name="dft")

    macs = int(np.prod(output)) * used
    emit(lowering, node, Pattern.REDUCTION, operands, [(node.outputs[0], output, dtype)], build, macs=macs)


def _tables(node: ir.Node, lowering: Lowering, contents: Sequence[np.ndarray]) -> list[Form]:
    return [
        Form(lowering.literal(f"{node.outputs[0].name}.table{number}", table), False)
        for number, table in enumerate(contents)
    ]


def _real_inverse(node: ir.Node, lowering: Lowering, source: Form, axis: int) -> None:
    """Real samples from the first half of their spectrum."""
    shape, dtype = source.shape, source.value.dtype
    bins = shape[axis]
    length = _scalar(lowering, optional_input(node, 1), "length") or 2 * (bins - 1)
    used = min(bins, length // 2 + 1)
    cosine, sine = _rotation(length, length, inverse=True)
    twice = np.where((np.arange(used) == 0) | (2 * np.arange(used) == length), 1.0, 2.0)
    operands = [source, *_tables(node, lowering, [(part[:, :used] * twice).astype(dtype) for part in (cosine, sine)])]
    output = (*shape[:axis], length, *shape[axis + 1 : -1], 1)

    def build(readers: list[Reader]) -> Reader:
        k = te.reduce_axis((0, used), name="k")

        def at(*i: Expression) -> Expression:
            real, imaginary = (readers[0](*i[:axis], k, *i[axis + 1 : -1], part) for part in (0, 1))
            return te.sum(real * readers[1](i[axis], k) - imaginary * readers[2](i[axis], k), axis=k)

        return stage(output, at, name="dft")

    emit(lowering, node, Pattern.REDUCTION, operands, [(node.outputs[0], output, dtype)], build)


@lowers("STFT")
def short_time_fourier_transform(node: ir.Node, lowering: Lowering) -> None:
    """The Fourier transform of windows of a signal, [batch, length, 1 or 2] to [batch, frames, bins, 2]."""
    source = Form(lowering.value(required_input(node, 0)), False)
    batch, extent, parts = (*source.shape, 1)[:3]
    dtype = source.value.dtype
    step = _scalar(lowering, required_input(node, 1), "frame step") or 1
    window = optional_input(node, 2)
    weights = None if window is None else lowering.required_constant(window, "window").reshape(-1)
    size = _scalar(lowering, optional_input(node, 3), "frame length") or (0 if weights is None else len(weights))
    if not 0 < size <= extent:
        raise UnsupportedNodeError(f"its frame of {size} samples does not fit a signal of {extent}", "see --shape")
    bins = size // 2 + 1 if node.attributes.get_int("onesided", 1) else size
    cosine, sine = _rotation(size, bins, inverse=False)
    shaped = np.ones(size) if weights is None else weights
    operands = [source, *_tables(node, lowering, [(part * shaped).astype(dtype) for part in (cosine, sine)])]
    output = (batch, (extent - size) // step + 1, bins, 2)

    def build(readers: list[Reader]) -> Reader:
        n = te.reduce_axis((0, size), name="n")

        def at(b: Expression, frame: Expression, k: Expression, part: Expression) -> Expression:
            def sample(which: int) -> Expression:
                where = (b, frame * step + n, which)
                return readers[0](*where[: len(source.shape)])

            real, imaginary, is_real = readers[1](k, n), readers[2](k, n), tirx.EQ(part, 0)
            if parts == 1:
                return te.sum(sample(0) * tirx.Select(is_real, real, imaginary), axis=n)
            sums = sample(0) * real - sample(1) * imaginary, sample(0) * imaginary + sample(1) * real
            return te.sum(tirx.Select(is_real, *sums), axis=n)

        return stage(output, at, name="stft")

    macs = int(np.prod(output)) * size
    emit(lowering, node, Pattern.REDUCTION, operands, [(node.outputs[0], output, dtype)], build, macs=macs)


@lowers("Det")
def determinant(node: ir.Node, lowering: Lowering) -> None:
    """Determinants of small matrices, by expansion along the first row.

    Raises:
        UnsupportedNodeError: the matrices are larger than 4 x 4.
    """
    source = Form(lowering.value(required_input(node, 0)), False)
    size = source.shape[-1]
    if size > 4:
        raise UnsupportedNodeError(f"it takes determinants of {size} x {size}", "compute them outside of the model")
    shape = source.shape[:-2]

    def expand(read: Reader, i: Sequence[Expression], row: int, columns: tuple[int, ...]) -> Expression:
        total = None
        for number, column in enumerate(columns):
            term = read(*i, row, column)
            if len(columns) > 1:
                term = term * expand(read, i, row + 1, (*columns[:number], *columns[number + 1 :]))
            total = term if total is None else total - term if number % 2 else total + term
        return total

    def build(readers: list[Reader]) -> Reader:
        return stage(shape, lambda *i: expand(readers[0], i, 0, tuple(range(size))), name="determinant")

    emit(lowering, node, Pattern.REDUCTION, [source], [(node.outputs[0], shape, source.value.dtype)], build)
