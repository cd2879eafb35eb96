"""Runs a model on a few samples piece by piece, so that layers can be changed between the pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.tensor import Sample
from edgec.graph.reference import ReferenceSession
from edgec.passes.graph_edit import is_constant

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators whose outputs are kept; what lies between them is cheap enough to be computed again."""


class PiecewiseRun:
    """The values of a model on some samples, layer by layer in the order of the graph.

    Args:
        model: with shapes, without control flow; a layer may be changed until it has been run.
        samples: inputs of the model.

    Attributes:
        layers: the nodes, in the order in which they are run.
    """

    def __init__(self, model: ir.Model, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples
        self.layers = tuple(node for node in model.graph if node.op_type in _LAYERS and node.domain == "")
        self._outputs = {node.outputs[0] for node in self.layers}
        self._last_use = {
            source: number for number, node in enumerate(self.layers) for source in self._sources(node.inputs)
        }
        self._values: dict[ir.Value, list[np.ndarray]] = {}
        self._done = 0

    def inputs(self) -> list[np.ndarray]:
        """What the next layer reads first, for each sample.

        Raises:
            EdgecError: EC0208 where ONNX Runtime cannot run the model.
        """
        value = self.layers[self._done].inputs[0]
        if value is None:
            raise ValueError(f"{self.layers[self._done].name} reads nothing")
        if self._sources([value]) == [value]:
            return [self._given(value, number) for number in range(len(self._samples))]
        return self._computed(value, [value])

    def advance(self) -> list[np.ndarray]:
        """Run the next layer, as it is now; its output for each sample.

        Raises:
            EdgecError: EC0208 where ONNX Runtime cannot run the model.
        """
        node = self.layers[self._done]
        found = self._computed(node.outputs[0], node.inputs)
        self._values[node.outputs[0]] = found
        self._done += 1
        for value in [v for v in self._values if self._last_use.get(v, -1) < self._done]:
            del self._values[value]
        return found

    def _computed(self, wanted: ir.Value, needed: Iterable[ir.Value | None]) -> list[np.ndarray]:
        sources = self._sources(needed)
        graph = ir.convenience.extract(self._model.graph, inputs=sources, outputs=[wanted])
        session = ReferenceSession(ir.Model(graph, ir_version=self._model.ir_version))
        return [
            session.run({str(value.name): self._given(value, number) for value in sources})[str(wanted.name)]
            for number in range(len(self._samples))
        ]

    def _given(self, source: ir.Value, number: int) -> np.ndarray:
        return self._values[source][number] if source in self._outputs else self._samples[number][str(source.name)]

    def _sources(self, values: Iterable[ir.Value | None]) -> list[ir.Value]:
        """The outputs of layers and inputs of the model that values are computed from; those themselves if they are."""
        found: dict[ir.Value, None] = {}
        seen: set[ir.Value] = set()
        stack = list(values)
        while stack:
            value = stack.pop()
            if value is None or value in seen or is_constant(value):
                continue
            seen.add(value)
            producer = value.producer()
            if producer is None or value in self._outputs:
                found[value] = None
            else:
                stack += producer.inputs
        return list(found)
