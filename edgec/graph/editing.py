"""Adding to a graph: fresh names and constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


class Names:
    """Fresh names: every name of a model's values and nodes, so that new ones clash with none."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str] = set()
        for graph in model.graphs():
            self._taken.update(str(value.name) for value in graph.inputs)
            self._taken.update(graph.initializers)
            for node in graph:
                self._taken.add(str(node.name))
                self._taken.update(str(output.name) for output in node.outputs)

    def fresh(self, wanted: str) -> str:
        """The wanted name, with the lowest free number behind it if it is taken."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def add_constant(graph: ir.Graph, name: str, contents: np.ndarray) -> ir.Value:
    """Register an initializer; `name` must be free."""
    value = ir.Value(
        name=name,
        shape=ir.Shape(contents.shape),
        type=ir.TensorType(ir.DataType.from_numpy(contents.dtype)),
        const_value=ir.Tensor(contents, name=name),
    )
    graph.register_initializer(value)
    return value
