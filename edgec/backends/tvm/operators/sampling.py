"""GridSample: images read at positions that the model computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Reader,
    emit_elements,
    existing_form,
    required_input,
)


def _number(value: float) -> Expression:
    return tirx.const(value, "float32")


def _reflected(x: Expression, low: float, high: float) -> Expression:
    """A coordinate folded back into [low, high]."""
    span = high - low
    if span <= 0:
        return _number(0)
    distance = tirx.abs(x - _number(low))
    rest = distance - tirx.floor(distance / _number(2 * span)) * _number(2 * span)
    return tirx.Select(rest > _number(span), _number(2 * span) - rest, rest) + _number(low)


def _cubic_weights(t: Expression) -> list[Expression]:
    def near(d: Expression) -> Expression:
        return (_number(1.25) * d - _number(2.25)) * d * d + _number(1)

    def far(d: Expression) -> Expression:
        return ((_number(-0.75) * d + _number(3.75)) * d - _number(6)) * d + _number(3)

    one = _number(1)
    return [far(t + one), near(t), near(one - t), far(_number(2) - t)]


@dataclass(frozen=True)
class _Sampling:
    """How GridSample reads a position: its attributes `mode`, `padding_mode` and `align_corners`."""

    mode: str
    padding: str
    corners: bool

    def pixel(self, normalized: Expression, extent: int) -> Expression:
        """The position in pixels of one in [-1, 1]."""
        x = (tirx.Cast("float32", normalized) + _number(1)) * _number(0.5)
        x = x * _number(extent - 1) if self.corners else x * _number(extent) - _number(0.5)
        if self.mode == "nearest":
            x = tirx.nearbyint(x)
        if self.padding == "border":
            return tirx.max(_number(0), tirx.min(x, _number(extent - 1)))
        return self._bounced(x, extent)

    def taps(self, x: Expression) -> list[tuple[Expression, Expression]]:
        """Position and weight of the elements along one axis, positions as floats."""
        if self.mode == "nearest":
            return [(tirx.nearbyint(x), _number(1))]
        whole = tirx.floor(x)
        t = x - whole
        if self.mode == "linear":
            return [(whole, _number(1) - t), (whole + _number(1), t)]
        return [(whole + _number(number - 1), weight) for number, weight in enumerate(_cubic_weights(t))]

    def index(self, position: Expression, extent: int) -> Expression:
        """The element at a position, which may lie outside."""
        kept = tirx.max(_number(0), tirx.min(self._bounced(position, extent), _number(extent - 1)))
        return tirx.Cast("int32", tirx.nearbyint(kept))

    def _bounced(self, x: Expression, extent: int) -> Expression:
        if self.padding != "reflection":
            return x
        return _reflected(x, 0.0, extent - 1.0) if self.corners else _reflected(x, -0.5, extent - 0.5)


@lowers("GridSample")
def grid_sample(node: ir.Node, lowering: Lowering) -> None:
    """Pixels at normalized positions given by a grid: nearest, linear or cubic, in any number of spatial axes."""
    source = existing_form(lowering, required_input(node, 0))
    grid = Form(lowering.value(required_input(node, 1)), False)
    dtype, extents = source.value.dtype, source.shape[2:]
    sampling = _Sampling(
        mode=node.attributes.get_string("mode", "linear").removeprefix("bi"),
        padding=node.attributes.get_string("padding_mode", "zeros"),
        corners=bool(node.attributes.get_int("align_corners", 0)),
    )
    if sampling.mode not in ("linear", "nearest", "cubic"):
        raise UnsupportedNodeError(f"its mode {sampling.mode} is unknown", "use linear, nearest or cubic")

    def weighted(read: Reader, positions: Sequence[tuple[Expression, Expression]], *image: Expression) -> Expression:
        where = [sampling.index(position, extent) for (position, _), extent in zip(positions, extents, strict=True)]
        value = tirx.Cast("float32", read(*image, *where))
        if sampling.padding == "zeros":
            inside = [
                tirx.And(position >= _number(0), position <= _number(extent - 1))
                for (position, _), extent in zip(positions, extents, strict=True)
            ]
            value = tirx.Select(tirx.all(*inside), value, _number(0))
        return value * reduce(lambda a, b: a * b, [weight for _, weight in positions])

    def element(readers: list[Reader], n: Expression, c: Expression, *spatial: Expression) -> Expression:
        axes = [
            sampling.taps(sampling.pixel(readers[1](n, *spatial, len(extents) - 1 - number), extent))
            for number, extent in enumerate(extents)
        ]
        terms = [weighted(readers[0], positions, n, c) for positions in product(*axes)]
        return tirx.Cast(dtype, reduce(lambda a, b: a + b, terms))

    emit_elements(
        lowering,
        node,
        [source, grid],
        ((*source.shape[:2], *grid.shape[1:-1]), dtype),
        element,
        pattern=Pattern.REDUCTION,
        channels_last=source.channels_last and len(grid.shape) == len(source.shape),
    )
