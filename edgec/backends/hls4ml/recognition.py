"""From a quantised ONNX model to the layers of hls4ml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgec.backends.hls4ml import layers, quantisers
from edgec.backends.hls4ml.builder import LayerBuilder, channels_last
from edgec.backends.hls4ml.fixed_point import type_of
from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork
from edgec.backends.plan import Fallback
from edgec.backends.rtl.integer_graph import Input, IntegerGraph, intervals_of
from edgec.backends.rtl.recognition import Recognised
from edgec.backends.rtl.recognition import recognise as recognise_integers
from edgec.backends.rtl.wires import Constant, UnsupportedError
from edgec.graph.load import identifier

_Translation = Callable[[LayerBuilder, ir.Node], None]

_TRANSLATIONS: Mapping[str, _Translation] = {
    "Add": layers.add,
    "AveragePool": layers.average_pool,
    "BipolarQuant": layers.sign,
    "Clip": quantisers.clip,
    "Conv": layers.convolution,
    "DequantizeLinear": quantisers.dequantize_linear,
    "Flatten": layers.movement,
    "Gemm": layers.dense,
    "GlobalAveragePool": layers.average_pool,
    "Identity": layers.movement,
    "MatMul": layers.dense,
    "MaxPool": layers.max_pool,
    "Quant": quantisers.quant,
    "QuantizeLinear": quantisers.quantize_linear,
    "Relu": layers.relu,
    "Reshape": layers.movement,
    "Squeeze": layers.movement,
    "Transpose": layers.movement,
    "Unsqueeze": layers.movement,
}


@dataclass(frozen=True)
class Translated:
    """A model as far as hls4ml can build it.

    Attributes:
        network: None if some node keeps it from being built.
        unsupported: those nodes.
    """

    network: HlsNetwork | None
    unsupported: tuple[Fallback, ...]


def translate(model: ir.Model) -> Translated:
    """The layers, or every node that keeps the model from having them."""
    known = recognise_integers(model)
    if known.graph is None:
        return Translated(None, known.unsupported)
    operations = tuple(known.builder.operations)
    walked = IntegerGraph(operations, (), (), exact=True)
    builder = LayerBuilder(known.builder, intervals_of(walked))
    unsupported: list[Fallback] = []
    _take_inputs(builder, known.graph, unsupported)
    for node in model.graph:
        try:
            _translate(builder, node)
        except UnsupportedError as problem:
            unsupported.append(Fallback(node=f"{node.name} ({node.op_type})", reason=problem.reason, hint=problem.hint))
    if unsupported:
        return Translated(None, tuple(unsupported))
    return _finish(model, builder, known)


def _take_inputs(builder: LayerBuilder, graph: IntegerGraph, unsupported: list[Fallback]) -> None:
    """Inputs arrive as the integers that the host quantised."""
    for border in graph.inputs:
        source = graph.operations[border.value]
        if not isinstance(source, Input):
            raise TypeError(f"{border.name} is no input")
        interval = source.interval(())
        try:
            given = type_of(interval, border.scale)
        except UnsupportedError as problem:
            unsupported.append(Fallback(node=f"input {border.name}", reason=problem.reason, hint=problem.hint))
            continue
        shape, order = channels_last(border.shape)
        name = f"x{len(builder.layers)}_{identifier(border.name).lower()}"
        builder.layers[name] = HlsLayer(
            name, "InputLayer", border.name, "Input", border.name, (), shape, order, given, {"input_shape": list(shape)}
        )
        builder.of_value[border.name] = name


def _translate(builder: LayerBuilder, node: ir.Node) -> None:
    outputs = [builder.integers.known.get(str(value.name)) for value in node.outputs]
    if all(isinstance(made, Constant) for made in outputs):
        return
    given = [str(value.name) for value in node.inputs if value is not None]
    if any(name not in builder.of_value and builder.constant(value) is None for name, value in _pairs(node, given)):
        return
    if node.op_type not in _TRANSLATIONS:
        raise UnsupportedError(f"{node.op_type} has no layer of hls4ml here", "fold it into the weights before")
    _TRANSLATIONS[node.op_type](builder, node)


def _pairs(node: ir.Node, names: Sequence[str]) -> list[tuple[str, ir.Value]]:
    return list(zip(names, (value for value in node.inputs if value is not None), strict=True))


def _finish(model: ir.Model, builder: LayerBuilder, known: Recognised) -> Translated:
    """Leave out the layers that no output needs."""
    if known.graph is None:
        raise TypeError("the model has no integer form")
    names = [builder.of_value[str(value.name)] for value in model.graph.outputs]
    if len(set(names)) < len(names) or any(builder.layers[name].kind == "InputLayer" for name in names):
        repeated = Fallback(node="outputs", reason="an output is an input or another output", hint="give each once")
        return Translated(None, (repeated,))
    inputs = [builder.of_value[border.name] for border in known.graph.inputs]
    needed = {*names, *inputs}
    for layer in reversed(builder.layers.values()):
        if layer.name in needed:
            needed.update(layer.inputs)
    kept = {name: layer for name, layer in builder.layers.items() if name in needed}
    return Translated(
        HlsNetwork(
            tuple(kept.values()),
            tuple(kept[name] for name in inputs),
            tuple(replace(kept[name], order=np.asarray(kept[name].order, np.int64)) for name in names),
            known.graph,
        ),
        (),
    )
