"""Trained parameters into the ONNX model that they were imported from."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.editing import Names, add_constant
from edgec.training.graph_writer import Weight
from edgec.training.importer import TrainableNetwork


def write_back(network: TrainableNetwork) -> int:
    """Put every parameter into its initializer, in place; how many differ from before.

    An initializer that other nodes read too, and one that did not exist, becomes a new one.
    """
    state = dict(network.module.named_parameters()) | dict(network.module.named_buffers())
    names = Names(network.model)
    changed = 0
    for weight in network.weights:
        contents = state[weight.path].detach().numpy()
        changed += _store(network.model.graph, names, weight, contents.T if weight.transposed else contents)
    return changed


def _store(graph: ir.Graph, names: Names, weight: Weight, contents: np.ndarray) -> bool:
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
    made = add_constant(graph, names.fresh(weight.initializer), array)
    for reader, position in weight.uses:
        if position >= len(reader.inputs):
            reader.resize_inputs(position + 1)
        reader.replace_input_with(position, made)
    return True
