"""Quantisers of both dialects as integer operations: QuantizeLinear and DequantizeLinear, and QONNX's Quant."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgec.backends.rtl.integer_graph import Clamped, Rearranged, Requantised
from edgec.backends.rtl.wires import Constant, GraphBuilder, Known, Scale, UnsupportedError, Wire

MULTIPLIER_BITS = 18
"""Bits of a multiplier that is no power of two: the width of a multiplier block of the ECP5 (Lattice FPGA-DS-02012)."""

_NO_LIMIT = 1 << 47
_INTEGER_RANGES = {
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (-(1 << 31), (1 << 31) - 1),
}


def requantise(
    builder: GraphBuilder, node: ir.Node, wire: Wire, scale: float, low: int, high: int, *, half_even: bool = True
) -> Wire:
    """A real value on the grid of a quantiser; an input without one takes this as its own.

    Args:
        builder: takes the operations.
        node: the quantiser.
        wire: what it reads.
        scale: step of the grid.
        low: smallest integer.
        high: largest integer.
        half_even: ties to even; else rounds down.

    Raises:
        UnsupportedError: for an input with two quantisers, or one that rounds down.
    """
    grid = np.array([scale])
    if wire.scale is None:
        source = wire.value
        while isinstance(moved := builder.operations[source], Rearranged):
            source = moved.sources[0]
        if not half_even:
            raise UnsupportedError("the quantiser of the input rounds down", "round to the nearest there")
        builder.quantise_input(source, scale, low, high)
        return Wire(wire.value, wire.shape, grid)
    multiplier, shift, exact = _fixed_point(wire.scale / scale)
    builder.exact = builder.exact and exact
    source = _before_relu(builder, wire.value) if low >= 0 else wire.value
    operation = Requantised(str(node.name), node.op_type, (source,), wire.size, multiplier, shift, half_even, low, high)
    return Wire(builder.append(operation), wire.shape, grid)


def quantize_linear(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """QuantizeLinear."""
    scale, zero_point, low, high = _parameters(node, known)
    source = known[0]
    if isinstance(source, Constant):
        spread = _along_axis(node, scale, source.real.ndim)
        points = _along_axis(node, zero_point, source.real.ndim)
        integers = np.clip(np.rint(source.real / spread.astype(np.float32)) + points, low, high).astype(np.int64)
        return Constant(integers)
    step, point = _single(scale), int(_single(zero_point))
    made = requantise(builder, node, source, step, low - point, high - point)
    return Wire(made.value, made.shape, made.scale, point)


def dequantize_linear(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """DequantizeLinear: the integers stay, their scale is known from here on."""
    scale, zero_point, low, high = _parameters(node, known)
    source = known[0]
    if isinstance(source, Constant):
        spread = _along_axis(node, scale, source.real.ndim).astype(np.float64)
        points = _along_axis(node, zero_point, source.real.ndim).astype(np.int64)
        integers = source.real.astype(np.int64) - points
        return Constant((integers * spread).astype(np.float32), integers, spread)
    step, point = _single(scale), int(_single(zero_point))
    if source.scale is None:
        builder.quantise_input(source.value, step, low - point, high - point)
    elif source.zero_point != point:
        raise UnsupportedError(
            f"its zero point {point} is not that of its input, {source.zero_point}", "give both the same zero point"
        )
    return Wire(source.value, source.shape, np.array([step]))


def quant(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """QONNX's Quant: quantises and dequantises at once, to any number of bits.

    Source: Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks" (2022), section IV.
    """
    source, scale, zero_point, bits = (known[0], *(_constant(each) for each in known[1:4]))
    signed, narrow = (bool(attribute_int(node, name, default)) for name, default in (("signed", 1), ("narrow", 0)))
    mode = node.attributes.get_string("rounding_mode", "ROUND") or "ROUND"
    if zero_point.any():
        raise UnsupportedError("its zero point is not 0", "export with symmetric quantisers")
    if mode.upper() not in ("ROUND", "FLOOR"):
        raise UnsupportedError(f"it rounds by {mode}", "round by ROUND or FLOOR")
    width = int(_single(bits))
    high = (1 << (width - signed)) - 1 - (narrow and not signed)
    low = -high - (not narrow) if signed else 0
    half_even = mode.upper() == "ROUND"
    if isinstance(source, Constant):
        rounded = (np.rint if half_even else np.floor)(source.real.astype(np.float64) / scale)
        integers = np.clip(rounded, low, high).astype(np.int64)
        return Constant((integers * scale).astype(np.float32), integers, scale)
    return requantise(builder, node, source, _single(scale), low, high, half_even=half_even)


def clip(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Clip, of integers between a quantiser and its inverse, or of real values on a grid."""
    low, high = (
        float(_single(_constant(known[at]))) if len(known) > at else limit
        for at, limit in ((1, -float("inf")), (2, float("inf")))
    )
    source = known[0]
    if isinstance(source, Constant):
        return Constant(np.clip(source.real, low, high).astype(source.real.dtype))
    if source.zero_point is not None:
        bounds = (low - source.zero_point, high - source.zero_point)
    else:
        step = source.one_scale()
        bounds = (low / step, high / step)
    if any(np.isfinite(bound) and bound != np.rint(bound) for bound in bounds):
        raise UnsupportedError("its limits are not on the grid of its input", "clip at multiples of the scale")
    return _clamped(builder, node, source, *bounds)


def relu(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Relu of a real value with any scales."""
    source = wire_of(known[0])
    source.scales()
    return _clamped(builder, node, source, 0.0, float("inf"))


def wire_of(known: Known) -> Wire:
    """A value that depends on the inputs.

    Raises:
        UnsupportedError: for a constant.
    """
    if isinstance(known, Constant):
        raise UnsupportedError("it works on a constant", "fold constants before")
    return known


def is_power_of_two(scale: Scale) -> bool:
    """Whether every scale is a power of two."""
    return bool((np.frexp(scale)[0] == 0.5).all())


def attribute_int(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute of a node."""
    found = node.attributes.get_int(name, default)
    return default if found is None else found


def _clamped(builder: GraphBuilder, node: ir.Node, wire: Wire, low: float, high: float) -> Wire:
    limits = (int(max(low, -_NO_LIMIT)), int(min(high, _NO_LIMIT)))
    operation = Clamped(str(node.name), node.op_type, (wire.value,), wire.size, *limits)
    return Wire(builder.append(operation), wire.shape, wire.scale, wire.zero_point)


def _before_relu(builder: GraphBuilder, value: int) -> int:
    """What a ReLU reads, or the value itself: a quantiser without negative integers cuts off negatives anyway."""
    operation = builder.operations[value]
    if isinstance(operation, Clamped) and (operation.low, operation.high) == (0, _NO_LIMIT):
        return operation.sources[0]
    return value


def _fixed_point(ratio: Scale) -> tuple[NDArray[np.int64], int, bool]:
    """Multipliers and the common shift with `ratio ~ multiplier / 2**shift`, and whether that is exact."""
    if is_power_of_two(ratio):
        exponents = np.frexp(ratio)[1] - 1
        shift = max(0, -int(exponents.min()))
        return np.left_shift(np.int64(1), (exponents + shift).astype(np.int64)), shift, True
    shift = max(0, MULTIPLIER_BITS - int(np.frexp(ratio.max())[1]) - 1)
    return np.maximum(1, np.rint(ratio * 2.0**shift)).astype(np.int64), shift, False


def _parameters(node: ir.Node, known: list[Known]) -> tuple[Scale, NDArray[np.int64], int, int]:
    """Scale, zero point, and the range of the integer type."""
    scale = _constant(known[1])
    if attribute_int(node, "block_size", 0):
        raise UnsupportedError("it quantises by blocks", "quantise by tensor or by channel")
    value = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    if value is None or value.dtype is None:
        raise UnsupportedError("the type of its integers is not known", "export the model again with types")
    name = value.dtype.name.lower()
    if name not in _INTEGER_RANGES:
        raise UnsupportedError(f"it quantises to {name}", f"quantise to one of {', '.join(_INTEGER_RANGES)}")
    zero_point = _constant(known[2]).astype(np.int64) if len(known) > 2 else np.zeros(scale.shape, np.int64)
    return scale, zero_point, *_INTEGER_RANGES[name]


def _along_axis(node: ir.Node, per_channel: NDArray[np.generic], rank: int) -> NDArray[np.generic]:
    if per_channel.size == 1:
        return per_channel.reshape(())
    shape = [1] * rank
    shape[attribute_int(node, "axis", 1)] = -1
    return per_channel.reshape(shape)


def _constant(known: Known) -> NDArray[np.float64]:
    if isinstance(known, Wire):
        raise UnsupportedError("its parameters depend on the input", "quantise with constant scales")
    return known.real.astype(np.float64)


def _single(parameter: NDArray[np.generic]) -> float:
    if parameter.size != 1:
        raise UnsupportedError("it quantises activations by channel", "quantise activations with one scale a tensor")
    return float(parameter.reshape(())[()])
