"""A bottleneck behind layers that stay: the network from there on, and what those layers make as its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from edgec.core.cache import key_of
from edgec.core.data import DataSource, LabelledSample, Split
from edgec.core.tensor import TensorSpec
from edgec.graph.cut_points import cut
from edgec.graph.editing import Names
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from edgec.passes.insert_bottleneck_cut import Place
from edgec.passes.node_writer import NodeWriter


@dataclass(frozen=True, eq=False)
class Behind:
    """A network in two, for a bottleneck between them.

    Attributes:
        kept: the layers that stay.
        model: those behind, which read what the bottleneck makes.
        place: of the bottleneck in them: it replaces nothing.
        data: what the layers that stay make of the samples.
    """

    kept: ir.Model
    model: ir.Model
    place: Place
    data: DataSource


def behind(model: ir.Model, place: Place, data: DataSource) -> Behind:
    """Let the layers before a place stay.

    Args:
        model: with static shapes; not changed.
        place: where the bottleneck is wanted.
        data: for the model.
    """
    kept, rest = cut(model, [place.value])
    source = rest.graph.inputs[0]
    writer = NodeWriter(rest, Names(rest), "bottleneck_given")
    given = writer.one("Identity", source)
    for node, index in source.uses():
        if node is not given.producer():
            node.replace_input_with(index, given)
    rest.graph.insert_before(rest.graph[0], writer.nodes)
    infer_shapes(rest)
    moved = replace(place, value=str(given.name), source=place.value, source_shape=place.shape, replaced=0.0)
    return Behind(kept, rest, moved, _Features(kept, place, data))


def joined(kept: ir.Model, rest: ir.Model) -> ir.Model:
    """One model of layers with one output and those that read it, which are their only input.

    Args:
        kept: not changed.
        rest: not changed.
    """
    front, whole = kept.clone(), rest.clone()
    nodes, weights, inputs = list(front.graph), list(front.graph.initializers.values()), list(front.graph.inputs)
    made = front.graph.outputs[0]
    front.graph.outputs.clear()
    front.graph.inputs.clear()
    front.graph.initializers.clear()
    front.graph.remove(nodes)
    ir.convenience.replace_all_uses_with(whole.graph.inputs[0], made)
    whole.graph.inputs.clear()
    names = Names(whole)
    for weight in weights:
        # Both parts may read one weight, and training changes that of the second only.
        weight.name = names.fresh(str(weight.name))
        whole.graph.register_initializer(weight)
    whole.graph.inputs.extend(inputs)
    whole.graph.insert_before(whole.graph[0], nodes)
    return whole


class _Features(DataSource):
    """What some layers make of the samples of other data, with their labels."""

    def __init__(self, layers: ir.Model, place: Place, data: DataSource) -> None:
        super().__init__(data.specification, (TensorSpec(name=place.value, dtype="float32", shape=place.shape),))
        self._layers, self._value, self._data = layers, place.value, data

    @property
    def sha256(self) -> str:
        """Of the other data, and of the layers."""
        return key_of(self._data.sha256, self._value, ir.to_proto(self._layers).SerializeToString(deterministic=True))

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        session = ReferenceSession(self._layers)
        given = {
            Split.CALIBRATION: lambda: (LabelledSample(inputs, None) for inputs in self._data.calibration()),
            Split.TRAIN: self._data.train,
            Split.EVALUATION: self._data.evaluation,
        }
        for sample in given[split]():
            yield LabelledSample({self._value: session.run(sample.inputs)[self._value]}, sample.label)
