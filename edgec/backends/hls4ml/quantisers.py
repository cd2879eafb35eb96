"""Quantisers of values: where nothing else reads what they read, they are the type of the layer before."""

from __future__ import annotations

import onnx_ir as ir

from edgec.backends.hls4ml.builder import LayerBuilder
from edgec.backends.hls4ml.fixed_point import FixedType, quantiser_type
from edgec.backends.hls4ml.network import HlsLayer, Setting
from edgec.backends.rtl.integer_graph import Clamped, Requantised
from edgec.backends.rtl.wires import UnsupportedError

_ROUNDING_KINDS = ("Activation", "Conv2D", "Dense", "DepthwiseConv2D", "Merge")
"""Layers that compute exactly and assign to the type of their result at the end."""


def quant(builder: LayerBuilder, node: ir.Node) -> None:
    """QONNX's Quant."""
    _quantise(builder, node, builder.wire(node.outputs[0]).value)


def quantize_linear(builder: LayerBuilder, node: ir.Node) -> None:
    """QuantizeLinear: the integers are the value, seen on another scale."""
    _quantise(builder, node, builder.wire(node.outputs[0]).value)


def dequantize_linear(builder: LayerBuilder, node: ir.Node) -> None:
    """DequantizeLinear: nothing is left to do after the quantiser; the layer now stands for real values."""
    source = builder.layer(node.inputs[0])
    if source.kind == "InputLayer":
        _same(builder, node)
    else:
        builder.change(source, node.outputs[0])


def clip(builder: LayerBuilder, node: ir.Node) -> None:
    """Clip: of a value that its limits do not touch, or as far as a quantiser before it."""
    source = builder.layer(node.inputs[0])
    operation = builder.integers.operations[builder.wire(node.outputs[0]).value]
    if not isinstance(operation, Clamped):
        _same(builder, node)
        return
    before = builder.intervals[operation.sources[0]]
    if operation.low <= int(before.low.min()) and int(before.high.max()) <= operation.high:
        _same(builder, node)
        return
    previous = builder.integers.operations[operation.sources[0]]
    if isinstance(previous, Requantised) and source.quantised:
        low, high = max(previous.low, operation.low), min(previous.high, operation.high)
        made = quantiser_type(low, high, builder.wire(node.outputs[0]).one_scale(), half_even=previous.half_even)
        builder.change(source, node.outputs[0], result=made)
        return
    low, high = operation.low, operation.high
    made = quantiser_type(low, high, builder.wire(node.outputs[0]).one_scale(), half_even=True)
    _assign(builder, node, source, made)


def _quantise(builder: LayerBuilder, node: ir.Node, position: int) -> None:
    source = builder.layer(node.inputs[0])
    operation = builder.integers.operations[position]
    if not isinstance(operation, Requantised):
        # The quantiser of an input: the host has done it.
        _same(builder, node)
        return
    step = builder.wire(node.outputs[0]).scales()
    low, high = operation.low, operation.high
    result = quantiser_type(low, high, float(step[0]), half_even=operation.half_even)
    _assign(builder, node, source, result)


def _assign(builder: LayerBuilder, node: ir.Node, source: HlsLayer, result: FixedType) -> None:
    value = node.inputs[0]
    alone = value is not None and len(tuple(value.uses())) == 1 and not value.is_graph_output()
    current = value is not None and source.value == value.name
    if alone and current and not source.quantised and source.kind in _ROUNDING_KINDS:
        builder.change(source, node.outputs[0], result=result, quantised=True)
        return
    settings: dict[str, Setting] = {"activation": "linear", "n_in": len(source.order)}
    builder.add("Activation", node, (source,), source.shape, source.order, settings, result=result, quantised=True)


def _same(builder: LayerBuilder, node: ir.Node) -> None:
    """The result is what the layer before holds."""
    source = builder.layer(node.inputs[0])
    if tuple(node.outputs[0].shape or ()) != tuple(node.inputs[0].shape or ()):  # type: ignore[union-attr]
        raise UnsupportedError("it changes the shape", "export the model again")
    builder.of_value[str(node.outputs[0].name)] = source.name
