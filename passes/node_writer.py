"""Writing a few nodes: fresh names from one prefix, and the spelling of operators that changed between opsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.passes.graph_edit import Names, add_constant

Attribute = int | float | str | Sequence[int] | ir.Graph


class NodeWriter:
    """Collects nodes that compute something, to be inserted where the caller wants them.

    Args:
        model: its main graph receives the constants; its opset decides the spelling.
        names: the names taken in the model.
        prefix: what the names of nodes, values and constants begin with.
    """

    def __init__(self, model: ir.Model, names: Names, prefix: str) -> None:
        self.nodes: list[ir.Node] = []
        self.names = names
        self.prefix = prefix
        self.opset = model.opset_imports.get("", 1)
        self._model = model

    def nested(self) -> NodeWriter:
        """A writer for the body of a loop: same names and constants, nodes of its own."""
        return NodeWriter(self._model, self.names, self.prefix)

    def several(
        self, op_type: str, inputs: Sequence[ir.Value | None], outputs: int, **attributes: Attribute
    ) -> list[ir.Value]:
        """Write a node with several outputs; the outputs."""
        node = ir.node(
            op_type, list(inputs), attributes, num_outputs=outputs, name=self.names.fresh(f"{self.prefix}/{op_type}")
        )
        for index, value in enumerate(node.outputs):
            value.name = self.names.fresh(f"{node.name}.{index}")
        self.nodes.append(node)
        return list(node.outputs)

    def one(self, op_type: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """Write a node with one output; the output."""
        return self.several(op_type, inputs, 1, **attributes)[0]

    def constant(self, role: str, contents: np.ndarray) -> ir.Value:
        """An initializer of the main graph, named after its role."""
        return add_constant(self._model.graph, self.names.fresh(f"{self.prefix}.{role}"), contents)

    def integers(self, role: str, *numbers: int) -> ir.Value:
        """A constant int64 vector."""
        return self.constant(role, np.array(numbers, dtype=np.int64))

    def squeeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """Drop axes of extent 1; an attribute before opset 13."""
        if self.opset < 13:
            return self.one("Squeeze", value, axes=list(axes))
        return self.one("Squeeze", value, self.integers("axes", *axes))

    def unsqueeze(self, value: ir.Value, *axes: int) -> ir.Value:
        """Add axes of extent 1; an attribute before opset 13."""
        if self.opset < 13:
            return self.one("Unsqueeze", value, axes=list(axes))
        return self.one("Unsqueeze", value, self.integers("axes", *axes))

    def split(self, value: ir.Value, sizes: Sequence[int], axis: int) -> list[ir.Value]:
        """Cut along an axis; the sizes are an attribute before opset 13."""
        if self.opset < 13:
            return self.several("Split", [value], len(sizes), axis=axis, split=list(sizes))
        return self.several("Split", [value, self.integers("sizes", *sizes)], len(sizes), axis=axis)

    def clip(self, value: ir.Value, low: float, high: float, dtype: np.dtype[np.generic]) -> ir.Value:
        """Limit to [low, high]; attributes before opset 11."""
        if self.opset < 11:
            return self.one("Clip", value, min=float(low), max=float(high))
        bounds = (self.constant("low", np.array(low, dtype=dtype)), self.constant("high", np.array(high, dtype=dtype)))
        return self.one("Clip", value, *bounds)
