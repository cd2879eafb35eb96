"""Trained parameters into the ONNX model that they were imported from."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.training.graph_writer import Weight
from edgec.training.importer import TrainableNetwork


def write_back(network: TrainableNetwork) -> int:
    """Put every parameter into its initializer, in place; how many differ from before.

    An initializer that other nodes read too, and one that did not exist, becomes a new one.
    """
    state = dict(network.module.named_parameters()) | dict(network.module.named_buffers())
    changed = 0
    for weight in network.weights:
        contents = state[weight.path].detach().numpy()
        changed += _store(network.model, weight, contents.T if weight.transposed else contents)
    return changed


def _store(model: ir.Model, weight: Weight, contents: np.ndarray) -> bool:
    node, index = weight.uses[0]
    value = node.inputs[index] if index < len(node.inputs) else None
    before = None if value is None else ir.convenience.get_const_tensor(value)
    array = np.array(contents, dtype=None if before is None else before.dtype.numpy(), order="C")
    if before is not None and np.array_equal(before.numpy(), array):
        return False
    own = value is not None and value.is_initializer() and set(value.uses()) <= {tuple(use) for use in weight.uses}
    if own and value is not None and not value.is_graph_input():
        value.const_value = ir.Tensor(array, name=value.name)
        return True
    made = _initializer(model.graph, weight.initializer, array)
    for reader, position in weight.uses:
        if position >= len(reader.inputs):
            reader.resize_inputs(position + 1)
        reader.replace_input_with(position, made)
    return True


def _initializer(graph: ir.Graph, wanted: str, contents: np.ndarray) -> ir.Value:
    taken = {value.name for node in graph for value in node.outputs} | {value.name for value in graph.inputs}
    name, number = wanted, 1
    while name in taken or name in graph.initializers:
        number += 1
        name = f"{wanted}_{number}"
    value = ir.Value(
        name=name,
        shape=ir.Shape(contents.shape),
        type=ir.TensorType(ir.DataType.from_numpy(contents.dtype)),
        const_value=ir.Tensor(contents, name=name),
    )
    graph.register_initializer(value)
    return value
