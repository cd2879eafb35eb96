"""Normalizations by statistics of the input, or by given ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Inline,
    Reader,
    emit,
    existing_form,
    normalized_axis,
    optional_input,
    required_input,
    stage,
    type_of,
)
from edgec.backends.tvm.operators.reduction import reduced, sum_over


def _zeroed(indices: Sequence[Expression], axes: Sequence[int]) -> tuple[Expression, ...]:
    return tuple(0 if axis in axes else index for axis, index in enumerate(indices))


def _wide(x: Expression) -> Expression:
    """An element in the precision of the statistics."""
    return tirx.Cast("float32", x) if type_of(x) == "float16" else x


class _Moments:
    """Mean and inverse standard deviation over some axes, which keep the extent 1."""

    def __init__(self, x: Reader, axes: Sequence[int], epsilon: float, last: bool, *, centred: bool = True) -> None:
        share = 1.0 / max(1, math.prod(x.shape[axis] for axis in axes))
        self.axes, self.centred = axes, centred
        total = reduced(x, axes, sum_over, _wide, channels_last=last, name="total")
        self.dtype = str(total.tensor.dtype)
        self.mean = stage(
            total.shape,
            lambda *i: total(*i) * tirx.const(share, self.dtype),
            channels_last=last,
            name="mean",
        )
        self._source = x
        squares = Inline(x.shape, lambda *i: self.deviation(*i) * self.deviation(*i))
        variance = reduced(squares, axes, sum_over, channels_last=last, name="squares")
        one, guard = tirx.const(1, self.dtype), tirx.const(epsilon, self.dtype)
        self.inverse = stage(
            total.shape,
            lambda *i: one / tirx.sqrt(variance(*i) * tirx.const(share, self.dtype) + guard),
            channels_last=last,
            name="inverse",
        )

    def deviation(self, *indices: Expression) -> Expression:
        """An element's distance from its mean; the element itself where the mean is not taken out."""
        x = _wide(self._source(*indices))
        return x - self.mean(*_zeroed(indices, self.axes)) if self.centred else x

    def normalized(self, *indices: Expression) -> Expression:
        """An element in units of the standard deviation."""
        return self.deviation(*indices) * self.inverse(*_zeroed(indices, self.axes))


@lowers("BatchNormalization")
def batch_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Scale and shift of each channel by statistics of the training.

    Raises:
        UnsupportedNodeError: the model is in training mode.
    """
    if node.attributes.get_int("training_mode", 0) or sum(bool(output.name) for output in node.outputs) > 1:
        raise UnsupportedNodeError("it updates its statistics (training mode)", "export the model for inference")
    source = existing_form(lowering, required_input(node, 0))
    dtype = source.value.dtype
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    statistics = [required_input(node, position) for position in range(1, 5)]
    known = [lowering.constant(statistic) for statistic in statistics]
    if all(contents is not None for contents in known):
        scale, bias, mean, variance = (np.asarray(contents, np.float64) for contents in known)
        factor = scale / np.sqrt(variance + epsilon)
        folded = [factor.astype(dtype), (bias - mean * factor).astype(dtype)]
        operands = [
            Form(lowering.literal(f"{node.outputs[0].name}.{role}", contents), False)
            for role, contents in zip(("factor", "shift"), folded, strict=True)
        ]
    else:
        operands = [Form(lowering.value(statistic), False) for statistic in statistics]

    def element(readers: list[Reader], *i: Expression) -> Expression:
        c = i[1] if len(i) > 1 else 0
        x = readers[0](*i)
        if len(readers) == 3:
            return x * readers[1](c) + readers[2](c)
        scale, bias, mean, variance = (reader(c) for reader in readers[1:])
        return tirx.Cast(
            dtype, (x - mean) * scale / tirx.sqrt(variance + tirx.const(epsilon, type_of(variance))) + bias
        )

    def build(readers: list[Reader]) -> Reader:
        return stage(source.shape, lambda *i: element(readers, *i), channels_last=source.channels_last)

    output = [(node.outputs[0], source.shape, dtype)]
    emit(lowering, node, Pattern.INJECTIVE, [source, *operands], output, build, channels_last=source.channels_last)


@lowers("LayerNormalization", "RMSNormalization")
def layer_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Normalized over the axes from `axis` on, scaled and shifted; RMS norms leave the mean in."""
    source = existing_form(lowering, required_input(node, 0))
    dtype, last, rank = source.value.dtype, source.channels_last, len(source.shape)
    axes = range(normalized_axis(node.attributes.get_int("axis", -1), rank), rank)
    centred = node.op_type == "LayerNormalization"
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    scale, bias = required_input(node, 1), optional_input(node, 2)
    operands = [source, Form(lowering.value(scale), False)]
    if bias is not None:
        operands.append(Form(lowering.value(bias), False))
    statistics = [output for output in node.outputs[1:] if output.name]
    small = [1 if axis in axes else extent for axis, extent in enumerate(source.shape)]
    wide = "float32" if dtype == "float16" else dtype

    def build(readers: list[Reader]) -> Sequence[Reader]:
        moments = _Moments(readers[0], axes, epsilon, last, centred=centred)

        def at(*i: Expression) -> Expression:
            scaled = tirx.Cast(dtype, moments.normalized(*i)) * _trailing(readers[1], i)
            return scaled + _trailing(readers[2], i) if bias is not None else scaled

        made = [stage(source.shape, at, channels_last=last, name="normalized")]
        if not centred:
            return made + [moments.inverse] * len(statistics)
        optional = [moments.mean, moments.inverse]
        return made + [optional[position] for position, output in enumerate(node.outputs[1:]) if output.name]

    outputs = [(node.outputs[0], source.shape, dtype)] + [(output, small, wide) for output in statistics]
    emit(lowering, node, Pattern.REDUCTION, operands, outputs, build, channels_last=last)


def _trailing(parameter: Reader, indices: Sequence[Expression]) -> Expression:
    """The element of a parameter that broadcasts to some indices."""
    extents = parameter.shape
    return parameter(
        *(0 if extent == 1 else i for extent, i in zip(extents, indices[len(indices) - len(extents) :], strict=True))
    )


@lowers("InstanceNormalization")
def instance_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Normalized over the spatial axes, scaled and shifted by channel."""
    source = existing_form(lowering, required_input(node, 0))
    axes = range(2, len(source.shape))
    epsilon = node.attributes.get_float("epsilon", 1e-5)

    def build(readers: list[Reader]) -> Reader:
        moments = _Moments(readers[0], axes, epsilon, source.channels_last)
        return _by_channel(readers, moments.normalized, source)

    _emit_scaled(node, lowering, source, build)


def _by_channel(readers: list[Reader], normalized: Callable[..., Expression], source: Form) -> Reader:
    dtype = source.value.dtype

    def at(*i: Expression) -> Expression:
        return tirx.Cast(dtype, normalized(*i)) * readers[1](i[1]) + readers[2](i[1])

    return stage(source.shape, at, channels_last=source.channels_last, name="normalized")


def _emit_scaled(node: ir.Node, lowering: Lowering, source: Form, build: Callable[[list[Reader]], Reader]) -> None:
    operands = [source, *(Form(lowering.value(required_input(node, position)), False) for position in (1, 2))]
    output = [(node.outputs[0], source.shape, source.value.dtype)]
    emit(lowering, node, Pattern.REDUCTION, operands, output, build, channels_last=source.channels_last)


@lowers("GroupNormalization")
def group_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Normalized over the spatial axes and the channels of a group; scale and bias by group before opset 21."""
    source = existing_form(lowering, required_input(node, 0))
    shape, dtype, last = source.shape, source.value.dtype, source.channels_last
    groups = node.attributes.get_int("num_groups", 1)
    size = shape[1] // groups
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    by_group = lowering.shape(required_input(node, 1))[0] == groups and lowering.opset(node) < 21
    wide = "float32" if dtype == "float16" else dtype
    share = tirx.const(1.0 / (size * math.prod(shape[2:])), wide)

    def total(x: Callable[..., Expression], name: str) -> Reader:
        over = [te.reduce_axis((0, extent), name=f"k{axis}") for axis, extent in enumerate((size, *shape[2:]))]
        return stage(
            (shape[0], groups),
            lambda n, g: te.sum(x(n, g * size + over[0], *over[1:]), axis=over),
            name=name,
        )

    def build(readers: list[Reader]) -> Reader:
        sums = total(lambda *i: _wide(readers[0](*i)), "total")
        mean = stage(sums.shape, lambda n, g: sums(n, g) * share, name="mean")

        def deviation(*i: Expression) -> Expression:
            return _wide(readers[0](*i)) - mean(i[0], tirx.indexdiv(i[1], size))

        squares = total(lambda *i: deviation(*i) * deviation(*i), "squares")
        one, guard = tirx.const(1, wide), tirx.const(epsilon, wide)
        inverse = stage(sums.shape, lambda n, g: one / tirx.sqrt(squares(n, g) * share + guard), name="inverse")

        def at(*i: Expression) -> Expression:
            group = tirx.indexdiv(i[1], size)
            parameter = group if by_group else i[1]
            normalized = tirx.Cast(dtype, deviation(*i) * inverse(i[0], group))
            return normalized * readers[1](parameter) + readers[2](parameter)

        return stage(shape, at, channels_last=last, name="normalized")

    _emit_scaled(node, lowering, source, build)


@lowers("MeanVarianceNormalization")
def mean_variance_normalization(node: ir.Node, lowering: Lowering) -> None:
    """(x - mean) / (standard deviation + 1e-9) over some axes."""
    source = existing_form(lowering, required_input(node, 0))
    rank = len(source.shape)
    axes = [normalized_axis(axis, rank) for axis in node.attributes.get_ints("axes", (0, 2, 3))]
    last = source.channels_last

    def build(readers: list[Reader]) -> Reader:
        moments = _Moments(readers[0], axes, 1e-18, last)
        return stage(
            source.shape,
            lambda *i: tirx.Cast(source.value.dtype, moments.normalized(*i)),
            channels_last=last,
            name="normalized",
        )

    output = [(node.outputs[0], source.shape, source.value.dtype)]
    emit(lowering, node, Pattern.REDUCTION, [source], output, build, channels_last=last)


@lowers("LpNormalization")
def norm_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Divided by the norm along one axis; zero where the norm is zero."""
    source = existing_form(lowering, required_input(node, 0))
    dtype, last = source.value.dtype, source.channels_last
    axes = (normalized_axis(node.attributes.get_int("axis", -1), len(source.shape)),)
    squared = node.attributes.get_int("p", 2) == 2
    zero = tirx.const(0, dtype)

    def build(readers: list[Reader]) -> Reader:
        x = readers[0]
        before = (lambda e: e * e) if squared else tirx.abs
        total = reduced(x, axes, sum_over, before, channels_last=last, name="total")

        def at(*i: Expression) -> Expression:
            norm = total(*_zeroed(i, axes))
            norm = tirx.sqrt(norm) if squared else norm
            return tirx.Select(tirx.EQ(norm, zero), zero, x(*i) / norm)

        return stage(source.shape, at, channels_last=last, name="normalized")

    output = [(node.outputs[0], source.shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, [source], output, build, channels_last=last)


@lowers("LRN")
def local_response_normalization(node: ir.Node, lowering: Lowering) -> None:
    """Divided by a power of the sum of squares over neighbouring channels."""
    source = existing_form(lowering, required_input(node, 0))
    shape, dtype, last = source.shape, source.value.dtype, source.channels_last
    size = node.attributes.get_int("size", 1)
    alpha = tirx.const(node.attributes.get_float("alpha", 1e-4) / size, dtype)
    beta = tirx.const(node.attributes.get_float("beta", 0.75), dtype)
    bias, zero = tirx.const(node.attributes.get_float("bias", 1.0), dtype), tirx.const(0, dtype)
    before = (size - 1) // 2

    def build(readers: list[Reader]) -> Reader:
        tap = te.reduce_axis((0, size), name="tap")

        def square(n: Expression, c: Expression, *rest: Expression) -> Expression:
            place = c + tap - before
            x = readers[0](n, place, *rest)
            return te.sum(tirx.if_then_else(tirx.all(place >= 0, place < shape[1]), x * x, zero), axis=tap)

        squares = stage(shape, square, channels_last=last, name="squares")
        return stage(
            shape,
            lambda *i: readers[0](*i) / tirx.pow(bias + alpha * squares(*i), beta),
            channels_last=last,
            name="normalized",
        )

    output = [(node.outputs[0], shape, dtype)]
    emit(lowering, node, Pattern.REDUCTION, [source], output, build, channels_last=last)
