"""How a graph states that a value is quantized: DequantizeLinear in front of its readers, QuantizeLinear behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.graph_edit import constant, input_of

_DTYPES = ("int8", "uint8")
_WEIGHT_DTYPES = (*_DTYPES, "int4", "uint4", "int2", "uint2")


class StaysFloatError(Exception):
    """A node cannot be computed in integers, for the reason given."""


@dataclass(frozen=True)
class Quantized:
    """A value as integers, and the real numbers they stand for: (integers - zero point) · scale.

    Attributes:
        integers: the value in the graph that holds them.
        scale: float32 scalar in the graph.
        zero_point: scalar in the graph of the integers' type.
    """

    integers: ir.Value
    scale: ir.Value
    zero_point: ir.Value

    @property
    def step(self) -> np.float32:
        """The contents of the scale."""
        return np.float32(contents_of(self.scale).reshape(-1)[0])

    @property
    def offset(self) -> int:
        """The contents of the zero point."""
        return int(contents_of(self.zero_point).reshape(-1)[0])

    @property
    def dtype(self) -> np.dtype:
        """Of the integers."""
        return contents_of(self.zero_point).dtype

    def same_scheme(self, other: Quantized) -> bool:
        """Whether equal integers stand for equal numbers in both."""
        return (self.step, self.offset, self.dtype) == (other.step, other.offset, other.dtype)

    def quantize(self, number: float) -> int:
        """The integer that stands for a number, rounded and saturated."""
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.float32(number) / self.step) + self.offset
        return int(np.clip(steps, limits.min, limits.max))


@dataclass(frozen=True)
class Weights:
    """Constant weights as integers.

    Attributes:
        integers: initializer of integers of eight bits or fewer.
        scale: initializer with one scale, or one for each output channel.
        zero_point: initializer like `scale`; None if all are 0.
        axis: the axis that the scales go along.
    """

    integers: ir.Value
    scale: ir.Value
    zero_point: ir.Value | None
    axis: int

    @property
    def steps(self) -> np.ndarray:
        """The contents of the scale, float32, flat."""
        return contents_of(self.scale).astype(np.float32).reshape(-1)


def is_standard(node: ir.Node | None, *op_types: str) -> bool:
    """Whether a node is one of some operators of the standard domain."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def is_quantizing(node: ir.Node | None, op_type: str) -> bool:
    """Whether a node is QuantizeLinear or DequantizeLinear, of ONNX or of ONNX Runtime."""
    return node is not None and node.op_type == op_type and node.domain in ("", "ai.onnx", "com.microsoft")


def is_dequantized(value: ir.Value | None) -> bool:
    """Whether a value comes out of a DequantizeLinear."""
    return value is not None and is_quantizing(value.producer(), "DequantizeLinear")


def quantized_input(value: ir.Value | None, role: str) -> Quantized:
    """The integers behind an input of a node.

    Raises:
        StaysFloatError: it is not dequantized, or not from eight bits with one constant scale; `role` names it.
    """
    producer = None if value is None else value.producer()
    if producer is None or not is_quantizing(producer, "DequantizeLinear"):
        raise StaysFloatError(f"its {role} is not quantized")
    return _scheme(producer, input_of(producer, 0), role)


def _scheme(node: ir.Node, integers: ir.Value | None, role: str) -> Quantized:
    scale, zero_point = input_of(node, 1), input_of(node, 2)
    steps, points = constant(scale), constant(zero_point)
    if steps is None or (zero_point is not None and points is None):
        raise StaysFloatError(f"the scale of its {role} is computed at run time")
    if steps.size != 1:
        raise StaysFloatError(f"its {role} has several scales")
    if scale is None or integers is None or zero_point is None or points is None:
        raise StaysFloatError(f"its {role} states no zero point")
    if str(points.dtype) not in _DTYPES or steps.dtype != np.float32:
        raise StaysFloatError(f"its {role} has elements of type {points.dtype} with scales of {steps.dtype}")
    return Quantized(integers, scale, zero_point)


def quantized_weights(value: ir.Value | None, output_axis: int) -> Weights:
    """The integers behind constant weights, with one scale or one for each index along `output_axis`.

    Raises:
        StaysFloatError: they are computed at run time, not quantized, or quantized in another way.
    """
    producer = None if value is None else value.producer()
    if producer is None or not is_quantizing(producer, "DequantizeLinear"):
        raise StaysFloatError("its weights are not quantized")
    integers, scale, zero_point = (input_of(producer, place) for place in range(3))
    contents, steps, points = constant(integers), constant(scale), constant(zero_point)
    if contents is None or steps is None or integers is None or scale is None:
        raise StaysFloatError("its weights are computed at run time")
    if zero_point is not None and points is None:
        raise StaysFloatError("the zero point of its weights is computed at run time")
    if str(contents.dtype) not in _WEIGHT_DTYPES or steps.dtype != np.float32:
        raise StaysFloatError(f"its weights are of type {contents.dtype} with scales of {steps.dtype}")
    axis = producer.attributes.get_int("axis", 1) % max(1, contents.ndim)
    if steps.size > 1 and (steps.ndim != 1 or axis != output_axis or steps.size != contents.shape[axis]):
        raise StaysFloatError("its weights are quantized by blocks, or not by output channel")
    return Weights(integers, scale, zero_point, output_axis)


def quantized_bias(value: ir.Value | None, steps: np.ndarray, count: int) -> np.ndarray | None:
    """A constant bias in int32 steps of input scale times weight scale; None if there is no bias.

    One that is quantized already with other steps, and one of real numbers, is rounded to even as ONNX Runtime does.

    Args:
        value: of `count` elements, or of one.
        steps: one step, or one for each output channel, float32.
        count: output channels.

    Raises:
        StaysFloatError: it is computed at run time, or has other elements.
    """
    if value is None:
        return None
    producer = value.producer()
    if producer is not None and is_quantizing(producer, "DequantizeLinear"):
        integers, scale, points = (constant(input_of(producer, place)) for place in range(3))
        if integers is None or scale is None:
            raise StaysFloatError("its bias is computed at run time")
        centred = integers.astype(np.int64) - (0 if points is None else points.astype(np.int64))
        flat = scale.astype(np.float32).reshape(-1)
        if integers.dtype == np.int32 and np.allclose(flat, steps, rtol=1e-5, atol=0):
            return np.broadcast_to(centred.reshape(-1), (count,)).astype(np.int32)
        numbers = (centred * flat).astype(np.float32)
    else:
        contents = constant(value)
        if contents is None or contents.dtype != np.float32:
            raise StaysFloatError("its bias is computed at run time")
        numbers = contents
    if numbers.size not in (1, count):
        raise StaysFloatError("its bias has other extents than its output channels")
    limits = np.iinfo(np.int32)
    rounded = np.rint(numbers.reshape(-1) / steps).astype(np.float64)
    return np.broadcast_to(np.clip(rounded, limits.min, limits.max), (count,)).astype(np.int32)


def quantized_output(value: ir.Value) -> tuple[Quantized, tuple[ir.Node, ...]]:
    """The integers that a value is quantized to, and the activations (Relu, Clip) on the way.

    Raises:
        StaysFloatError: it is not quantized, or its real numbers are read as well.
    """
    activations: list[ir.Node] = []
    while True:
        readers = {node for node, _ in value.uses()}
        if value.is_graph_output() or len(readers) != 1:
            quantized = any(is_quantizing(reader, "QuantizeLinear") for reader in readers)
            raise StaysFloatError("its output is also read as float" if quantized else "its output is not quantized")
        reader = next(iter(readers))
        if is_quantizing(reader, "QuantizeLinear") and reader.inputs[0] is value:
            return _scheme(reader, reader.outputs[0], "output"), tuple(activations)
        if not is_standard(reader, "Relu", "Clip") or reader.inputs[0] is not value:
            raise StaysFloatError("its output is not quantized")
        activations.append(reader)
        value = reader.outputs[0]


def is_quantized_output(value: ir.Value) -> bool:
    """Whether nothing but integers is made of a value, perhaps after activations (Relu, Clip)."""
    try:
        quantized_output(value)
    except StaysFloatError:
        return False
    return True


def contents_of(value: ir.Value) -> np.ndarray:
    """The contents of a constant.

    Raises:
        StaysFloatError: it is computed at run time.
    """
    contents = constant(value)
    if contents is None:
        raise StaysFloatError("a scale is computed at run time")
    return contents
