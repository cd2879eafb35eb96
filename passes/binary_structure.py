"""What a network becomes before its layers are binary: no activation in front of a sign, and a way round each layer."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgec.passes.graph_edit import Names, graph_of, only_consumer, replace_value, static_shape
from edgec.passes.node_writer import NodeWriter
from edgec.passes.quantize_layers import Layer

_PICTURE_AXES = 4


def remove_activations(model: ir.Model, layers: Sequence[Layer]) -> int:
    """Take out each Relu that a layer reads, perhaps through pooling by maximum; how many.

    What is left by a Relu has one sign only, and a shortcut that begins behind it could only grow.
    """
    names, removed = Names(model), 0
    for layer in layers:
        value = layer.read
        while (node := value.producer()) is not None and node.op_type == "MaxPool" and node.inputs[0] is not None:
            value = node.inputs[0]
        if node is None or node.op_type != "Relu" or node.domain != "" or node.inputs[0] is None:
            continue
        replace_value(value, node.inputs[0], names)
        graph_of(node).remove(node, safe=True)
        removed += 1
    return removed


def add_shortcuts(model: ir.Model, layers: Sequence[Layer]) -> int:
    """Add the input of each convolution to its output where shapes allow it and nothing is added there yet; how many.

    Where the stride is more than 1 the shortcut is the mean of as many places; where there are a multiple of the
    channels, it is repeated (Liu et al., Bi-Real Net, 2018, section 3.2; ReActNet, 2020, section 3).
    """
    names, added = Names(model), 0
    for layer in layers:
        added += layer.node.op_type == "Conv" and _add_shortcut(model, names, layer)
    return added


def _add_shortcut(model: ir.Model, names: Names, layer: Layer) -> bool:
    node, result = layer.node, layer.node.outputs[0]
    follower = only_consumer(result)
    inputs, outputs = static_shape(layer.read), static_shape(result)
    if inputs is None or outputs is None or len(outputs) != _PICTURE_AXES:
        return False
    if (follower is not None and follower.op_type == "Add") or result.is_graph_output():
        return False
    strides = list(node.attributes.get_ints("strides", (1, 1)) or (1, 1))
    missing = [stride * out - extent for stride, out, extent in zip(strides, outputs[2:], inputs[2:], strict=True)]
    fits = all(0 <= less < stride for less, stride in zip(missing, strides, strict=True))
    if not fits or outputs[1] % inputs[1]:
        return False
    writer = NodeWriter(model, names, f"{layer.name}/shortcut")
    value = layer.read
    if max(strides) > 1:
        value = writer.one("AveragePool", value, kernel_shape=strides, strides=strides, pads=missing * 2)
        value.shape, value.type = ir.Shape((inputs[0], inputs[1], *outputs[2:])), result.type
    if outputs[1] > inputs[1]:
        repeated = writer.several("Concat", [value] * (outputs[1] // inputs[1]), 1, axis=1)
        value = repeated[0]
        value.shape, value.type = result.shape, result.type
    readers = list(result.uses())
    total = writer.one("Add", result, value)
    total.shape, total.type = result.shape, result.type
    graph_of(node).insert_after(node, writer.nodes)
    for reader, place in readers:
        reader.replace_input_with(place, total)
    return True
