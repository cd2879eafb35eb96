"""Layers as integer operations: products, pooling, sums, and what only moves elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgec.backends.rtl.integer_graph import Affine, Integers, Largest, Rearranged, Sum
from edgec.backends.rtl.quantisers import attribute_int, is_power_of_two, wire_of
from edgec.backends.rtl.wires import Constant, GraphBuilder, Known, Scale, UnsupportedError, Wire

_Element = TypeVar("_Element", bound=np.generic)

FRACTION_BITS = 16
"""Most bits by which the grid of an accumulator is made finer, so that biases and sums of other scales lie on it."""


def matrix_product(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """MatMul and Gemm with constant weights."""
    source = wire_of(known[0])
    weights, scale = integer_weights(known[1])
    if node.op_type == "Gemm":
        if attribute_int(node, "transA", 0) or {node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")} != {
            1.0
        }:
            raise UnsupportedError("it transposes or scales its input", "export as a plain product")
        if attribute_int(node, "transB", 0):
            weights, scale = weights.T, scale.T
    if weights.ndim != 2:
        raise UnsupportedError("its weights are no matrix", "use one matrix for the whole batch")
    terms, channels = weights.shape
    reads = np.arange(source.size).reshape(1, -1, terms)
    positions = reads.shape[1]
    place = np.arange(positions * channels).reshape(1, positions, channels)
    bias = known[2] if len(known) > 2 else None
    shape = (*source.shape[:-1], channels)
    return _affine(builder, node, source, shape, weights[None], scale[:1], reads, place, bias)


def convolution(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Conv of any grouping, in one or two dimensions."""
    source = wire_of(known[0])
    weights, scale = integer_weights(known[1])
    if len(source.shape) not in (3, 4):
        raise UnsupportedError("it is not in one or two dimensions", "use a convolution of lines or of pictures")
    groups = attribute_int(node, "group", 1)
    outer, inner = weights.shape[0] // groups, weights.shape[1]
    windows = _windows(node, source.shape, weights.shape[2:])  # [C, P, window]
    extents = _extents(node, source.shape, weights.shape[2:])
    positions = windows.shape[1]
    reads = windows.reshape(groups, inner, positions, -1).transpose(0, 2, 1, 3).reshape(groups, positions, -1)
    matrix = weights.reshape(groups, outer, -1).transpose(0, 2, 1)
    steps = np.broadcast_to(scale, weights.shape).reshape(groups, outer, -1).transpose(0, 2, 1)[:, :1]
    place = np.arange(weights.shape[0] * positions).reshape(groups, outer, positions).transpose(0, 2, 1)
    bias = known[2] if len(known) > 2 else None
    if isinstance(bias, Constant):
        bias = Constant(bias.real.reshape(-1, *(1 for _ in extents)))
    shape = (1, weights.shape[0], *extents)
    return _affine(builder, node, source, shape, matrix, steps, reads, place, bias)


def max_pool(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """MaxPool."""
    source = wire_of(known[0])
    window = tuple(node.attributes["kernel_shape"].as_ints())
    reads = _windows(node, source.shape, window).reshape(-1, int(np.prod(window)))
    inside = reads.max(axis=1, keepdims=True)
    reads = np.where(reads < 0, inside, reads)
    shape = (1, source.shape[1], *_extents(node, source.shape, window))
    operation = Largest(str(node.name), node.op_type, (source.value,), len(reads), reads)
    return Wire(builder.append(operation), shape, np.array([source.one_scale()]), source.zero_point)


def average_pool(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """AveragePool and GlobalAveragePool: sums whose scale is divided by their number."""
    source = wire_of(known[0])
    whole = node.op_type == "GlobalAveragePool"
    window = source.shape[2:] if whole else tuple(node.attributes["kernel_shape"].as_ints())
    if not whole and any(padding(node, len(window))) and not attribute_int(node, "count_include_pad", 0):
        raise UnsupportedError("its windows at the border have fewer elements", "count the padding, or pool without")
    windows = _windows(node, source.shape, window)
    channels, positions, terms = windows.shape
    ones = np.ones((channels, terms, 1), np.int64)
    place = np.arange(channels * positions).reshape(channels, positions, 1)
    extents = tuple(1 for _ in window) if whole else _extents(node, source.shape, window)
    scale = np.full((channels, 1, 1), 1.0 / terms)
    return _affine(builder, node, source, (1, channels, *extents), ones, scale, windows, place, None)


def add(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Add of two values, or of a bias to a product."""
    wires = [each for each in known if isinstance(each, Wire)]
    constants = [each for each in known if isinstance(each, Constant)]
    if constants:
        return _with_bias(builder, node, wire_of(wires[0] if wires else constants[0]), constants[0])
    left, right = wires
    if left.shape != right.shape:
        raise UnsupportedError("its operands have different shapes", "add values of one shape")
    steps = (left.one_scale(), right.one_scale())
    step = min(steps)
    if not is_power_of_two(np.array(steps) / step):
        step, builder.exact = step / 2**FRACTION_BITS, False
    factors = (round(steps[0] / step), round(steps[1] / step))
    operation = Sum(str(node.name), node.op_type, (left.value, right.value), left.size, factors)
    return Wire(builder.append(operation), left.shape, np.array([step]))


def scaled(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Mul by positive constants, one a channel: the integers stay, their scale changes."""
    wires = [each for each in known if isinstance(each, Wire)]
    constants = [each for each in known if isinstance(each, Constant)]
    if len(wires) != 1 or len(constants) != 1:
        raise UnsupportedError("it multiplies two values", "multiply by a constant")
    factors = constants[0].real.astype(np.float64)
    if (factors <= 0).any():
        raise UnsupportedError("it multiplies by a number that is not positive", "fold it into the weights before")
    source = wires[0]
    scale = source.scales() * np.broadcast_to(factors, source.shape).ravel()
    builder.exact = builder.exact and is_power_of_two(scale)
    return replace(source, scale=scale[:1] if (scale == scale[0]).all() else scale)


def movement(builder: GraphBuilder, node: ir.Node, known: list[Known]) -> Known:
    """Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Identity: elements in another order."""
    shape = tuple(int(extent) for extent in node.outputs[0].shape or () if isinstance(extent, int))
    permutation = node.attributes["perm"].as_ints() if "perm" in node.attributes else None

    def moved(array: NDArray[_Element]) -> NDArray[_Element]:
        if node.op_type == "Transpose":
            return array.transpose(permutation)
        return array.reshape(shape)

    source = known[0]
    if isinstance(source, Constant):
        spread = None if source.scale is None else moved(np.broadcast_to(source.scale, source.real.shape))
        return Constant(moved(source.real), None if source.integers is None else moved(source.integers), spread)
    reads = moved(np.arange(source.size).reshape(source.shape))
    scale = source.scale if source.scale is None or source.scale.size == 1 else source.scale[reads.ravel()]
    if (reads.ravel() == np.arange(source.size)).all():
        return replace(source, shape=reads.shape, scale=scale)
    operation = Rearranged(str(node.name), node.op_type, (source.value,), source.size, reads.ravel())
    return replace(source, value=builder.append(operation), shape=reads.shape, scale=scale)


def _affine(
    builder: GraphBuilder,
    node: ir.Node,
    source: Wire,
    shape: tuple[int, ...],
    weights: Integers,
    weight_scale: Scale,
    reads: Integers,
    place: Integers,
    bias: Known | None,
) -> Wire:
    """Append a product; `weight_scale` broadcasts to [G, 1, M]."""
    groups, _, channels = weights.shape
    steps = np.broadcast_to(weight_scale, (groups, 1, channels))[:, 0] * source.one_scale()
    builder.exact = builder.exact and is_power_of_two(steps)
    zero = np.zeros((groups, channels), np.int64)
    operation = Affine(
        str(node.name), node.op_type, (source.value,), int(place.size), weights, zero, reads.astype(np.int64), place
    )
    scale = np.empty(place.size)
    scale[place.ravel()] = np.broadcast_to(steps[:, None, :], place.shape).ravel()
    scale = scale[:1] if (scale == scale[0]).all() else scale
    wire = Wire(builder.append(operation), shape, scale)
    return wire if bias is None else _with_bias(builder, node, wire, bias)


def _with_bias(builder: GraphBuilder, node: ir.Node, wire: Wire, bias: Known) -> Wire:
    """The product that a wire comes from, with a constant added; on a finer grid where the constant needs it."""
    operation = builder.operations[wire.value]
    if isinstance(bias, Wire) or not isinstance(operation, Affine):
        raise UnsupportedError("it adds a constant to what is no product", "add biases right after the product")
    scales = wire.scales()
    wanted = np.broadcast_to(bias.real.astype(np.float64), wire.shape).ravel() / scales
    if _only_signs_read(node):
        finer, integers = 0, np.floor(wanted)
    else:
        finer = next((bits for bits in range(FRACTION_BITS + 1) if _on_grid(wanted * 2.0**bits)), 0)
        integers = np.rint(wanted * 2.0**finer)
        builder.exact = builder.exact and bool((integers == wanted * 2.0**finer).all())
    by_channel = integers[operation.place].astype(np.int64)
    if (by_channel != by_channel[:, :1]).any():
        raise UnsupportedError("its bias differs from position to position", "use one bias a channel")
    refined = replace(
        operation,
        weights=operation.weights * 2**finer,
        bias=operation.bias * 2**finer + by_channel[:, 0],
    )
    return replace(wire, value=builder.append(refined), scale=scales / 2.0**finer)


def _only_signs_read(node: ir.Node) -> bool:
    """Whether nothing but signs is made of a sum; that of an integer plus a number is that of it plus the floor."""
    value = node.outputs[0]
    readers = [use.node.op_type for use in value.uses()]
    return bool(readers) and set(readers) == {"BipolarQuant"} and not value.is_graph_output()


def _on_grid(values: Scale) -> bool:
    return bool((values == np.rint(values)).all())


def integer_weights(known: Known) -> tuple[Integers, Scale]:
    """Weights as integers and their scales, which are the same for every term of a sum."""
    if isinstance(known, Wire):
        raise UnsupportedError("it multiplies two values", "multiply by constant weights")
    if known.integers is not None and known.scale is not None:
        return known.integers, np.broadcast_to(known.scale, known.integers.shape)
    real = known.real.astype(np.float64)
    for bits in range(FRACTION_BITS + 1):
        if _on_grid(real * 2.0**bits):
            return np.rint(real * 2.0**bits).astype(np.int64), np.full(real.shape, 2.0**-bits)
    raise UnsupportedError("its weights are not quantised", "quantise the network first")


def _windows(node: ir.Node, shape: Sequence[int], window: Sequence[int]) -> Integers:
    """[C, positions, elements of the window]: flat indices of a tensor [1, C, ...]; -1 in the padding."""
    rank = len(window)
    strides, dilations = (_ints(node, name, [1] * rank) for name in ("strides", "dilations"))
    pads = padding(node, rank)
    last = [0] * rank
    indices = np.arange(int(np.prod(shape))).reshape(shape[1:])
    extents = _extents(node, shape, window)
    for axis in range(rank):
        reach = (extents[axis] - 1) * strides[axis] + (window[axis] - 1) * dilations[axis] + 1
        last[axis] = max(0, reach - shape[2 + axis] - pads[axis])
    widths = [(0, 0), *((pads[axis], last[axis]) for axis in range(rank))]
    padded = np.pad(indices, widths, constant_values=-1)
    starts = np.meshgrid(*(np.arange(extents[a]) * strides[a] for a in range(rank)), indexing="ij")
    offsets = np.meshgrid(*(np.arange(window[a]) * dilations[a] for a in range(rank)), indexing="ij")
    places = tuple(s.ravel()[:, None] + o.ravel() for s, o in zip(starts, offsets, strict=True))
    flat = np.ravel_multi_index(places, padded.shape[1:])
    return np.asarray(padded.reshape(shape[1], -1)[:, flat], np.int64)


def _extents(node: ir.Node, shape: Sequence[int], window: Sequence[int]) -> tuple[int, ...]:
    """Extents of the result as shape inference found them."""
    found = node.outputs[0].shape
    if found is None or not all(isinstance(extent, int) for extent in found):
        raise UnsupportedError("its shape is open", "fix the shapes of the inputs with --shape")
    return tuple(int(extent) for extent in found if isinstance(extent, int))[2:]


def padding(node: ir.Node, rank: int) -> list[int]:
    """Padding before each axis and after, in ONNX's order."""
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", ""):
        raise UnsupportedError(f"it pads by {mode}", "export with explicit padding")
    return _ints(node, "pads", [0] * (2 * rank))


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default
