"""Reading constants and replacing values of an ONNX graph without losing names of outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.editing import Names as Names
from edgec.graph.editing import add_constant as add_constant


def all_nodes(model: ir.Model) -> list[ir.Node]:
    """Every node of the model, those of branches and loop bodies included, outer nodes before inner ones."""
    return list(ir.traversal.RecursiveGraphIterator(model.graph))


def nodes_of(model: ir.Model, *op_types: str) -> list[ir.Node]:
    """The nodes of the standard domain with one of the given operator types, subgraphs included."""
    return [node for node in all_nodes(model) if node.domain == "" and node.op_type in op_types]


def bodies_of(node: ir.Node) -> Iterator[ir.Graph]:
    """The subgraphs that a node carries: branches of If, bodies of Loop and Scan."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def opset_of(model: ir.Model) -> int:
    """The version of the standard operator set that the model imports."""
    return model.opset_imports.get("", 1)


def is_constant(value: ir.Value | None) -> bool:
    """Whether the contents of a value are known at compile time."""
    return value is not None and not value.is_graph_input() and ir.convenience.get_const_tensor(value) is not None


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The contents of a value known at compile time (a view where possible); None for others and absent inputs."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The single element of a constant as a float; None for anything else."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1 or tensor.dtype.is_string():
        return None
    return float(tensor.numpy().reshape(()))


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """An input of a node; None where it is absent or left empty."""
    return node.inputs[index] if index < len(node.inputs) else None


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The extents of a value if all of them are known."""
    if value is None or value.shape is None:
        return None
    extents = tuple(dimension for dimension in value.shape if isinstance(dimension, int))
    return extents if len(extents) == len(value.shape) and all(extent >= 0 for extent in extents) else None


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value; None if several do, or if the value is an output of its graph."""
    consumers = {node for node, _ in value.uses()}
    return next(iter(consumers)) if len(consumers) == 1 and not value.is_graph_output() else None


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that holds a node.

    Raises:
        TypeError: the node belongs to a model-local function; those are expanded before any other pass.
    """
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(f"node {node.name} is not in a graph")
    return node.graph


def insert_before(node: ir.Node, new_nodes: Sequence[ir.Node]) -> None:
    """Put nodes, in their order, in front of a node."""
    graph_of(node).insert_before(node, list(new_nodes))


def replace_value(old: ir.Value, new: ir.Value, names: Names) -> None:
    """Let every reader of `old` read `new`; where `old` is an output of its graph, the output keeps its name.

    `new` takes over the name if it is free to do so. An input, an initializer, a value of an outer graph and a value
    that already is an output keep their own, and an Identity makes the output.
    """
    graph = old.graph
    producer = new.producer()
    if not old.is_graph_output() or graph is None:
        old.replace_all_uses_with(new)
        _complete(new, old)
        return
    output_name = old.name
    old.name = names.fresh(f"{output_name}.replaced")
    if producer is not None and producer.graph is graph and not new.is_graph_output() and _once(graph.outputs, old):
        new.name = output_name
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        _complete(new, old)
        return
    identity = ir.node("Identity", [new], name=names.fresh(f"{output_name}/Identity"))
    result = identity.outputs[0]
    result.name, result.type, result.shape = output_name, old.type, old.shape
    graph.append(identity)
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = result
    old.replace_all_uses_with(new)


def remove_unused(nodes: Iterable[ir.Node]) -> None:
    """Remove those of the nodes, last first, that nobody reads any more."""
    for node in reversed(list(nodes)):
        if node.graph is not None and not any(value.uses() or value.is_graph_output() for value in node.outputs):
            node.graph.remove(node, safe=True)


def _once(outputs: Sequence[ir.Value], value: ir.Value) -> bool:
    return sum(output is value for output in outputs) == 1


def _complete(new: ir.Value, old: ir.Value) -> None:
    """Keep what was known of the type and shape of the replaced value."""
    if new.type is None:
        new.type = old.type
    if new.shape is None and old.shape is not None:
        new.shape = old.shape
