"""What a model costs: multiply-accumulates and bytes of each node, its size, and its peak of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgec.core.errors import EdgecError
from edgec.core.trace import ModelSize
from edgec.graph.macs import UnknownCostError, macs_of, shape_of
from edgec.graph.shapes import infer_shapes, model_inputs, open_dimensions


@dataclass(frozen=True)
class NodeCost:
    """The cost of one node in an inference.

    Attributes:
        name: the node, or its first output if it has no name.
        op: operator.
        macs: multiply-accumulates of all its calls; None if they cannot be told.
        weight_bytes: constants that it reads.
        input_bytes: activations that it reads in one call; None if they cannot be told.
        output_bytes: activations that it writes in one call; None if they cannot be told.
        calls: how often it runs in an inference (more than once inside a loop).
        reason: why something is None; empty if nothing is.
    """

    name: str
    op: str
    macs: int | None
    weight_bytes: int
    input_bytes: int | None
    output_bytes: int | None
    calls: int
    reason: str = ""


@dataclass(frozen=True)
class PeakMemory:
    """The most memory that activations take at once, without any sharing in place.

    Attributes:
        bytes: None if it cannot be told.
        node: the node at which the peak occurs.
        reason: why `bytes` is None; empty if it is not.
    """

    bytes: int | None
    node: str
    reason: str = ""


def model_size(model: ir.Model) -> ModelSize:
    """The size of a model: parameters and bytes of all weights, wherever they stand, each counted once.

    An open batch (the first axis of an input) counts as 1. Nodes whose shapes are open even so add nothing to the
    multiply-accumulates; `node_costs` lists them with reasons.
    """
    tensors = [tensor for graph in model.graphs() for tensor in _constants(graph)]
    return ModelSize(
        macs=sum(cost.macs or 0 for cost in node_costs(_with_batch_of_one(model))),
        parameters=sum(tensor.size for tensor in tensors),
        bytes=sum(tensor.nbytes for tensor in tensors),
    )


def node_costs(model: ir.Model) -> tuple[NodeCost, ...]:
    """The cost of every node that computes, in order, bodies of loops included.

    Of the branches of an If the costlier one is listed, so that the sum is that of the costliest inference.
    """
    return tuple(_costs_of(model.graph, 1, ""))


def costs_within(node: ir.Node) -> tuple[NodeCost, ...]:
    """The cost of one node of a model's main graph and of the bodies that it runs, as `node_costs` lists them."""
    return tuple(_costs_at(node, 1, ""))


def peak_activation_memory(model: ir.Model) -> PeakMemory:
    """The peak, over the nodes in order of execution, of all activations alive; inputs and outputs included."""
    try:
        peak, node = _peak_of(model.graph, model_inputs(model))
    except UnknownCostError as error:
        return PeakMemory(None, "", str(error))
    return PeakMemory(peak, node)


def value_bytes(value: ir.Value) -> int:
    """Bytes of a value.

    Raises:
        UnknownCostError: its shape or element type is not fully known.
    """
    elements = 1
    for extent in shape_of(value, "value"):
        elements *= extent
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        raise UnknownCostError(f"the element type of `{value.name}` is unknown")
    return -(-elements * value.dtype.bitwidth // 8)


def is_constant(value: ir.Value) -> bool:
    """Whether a value is a weight or the output of a Constant node."""
    producer = value.producer()
    return value.is_initializer() or (producer is not None and producer.op_type == "Constant")


def node_name(node: ir.Node) -> str:
    """The name of a node, or that of its first output if it has none."""
    return node.name or next((str(output.name) for output in node.outputs if output.name), node.op_type)


def _with_batch_of_one(model: ir.Model) -> ir.Model:
    """The model itself, or a copy in which open first axes of inputs are 1; weights are shared."""
    if not any(dimension.axis == 0 for dimension in open_dimensions(model)):
        return model
    copy = model.clone()
    batches = {dimension.symbol for dimension in open_dimensions(model) if dimension.axis == 0 and dimension.symbol}
    inputs = model_inputs(copy)
    for value in inputs:
        if value.shape:
            first, *others = value.shape
            value.shape = ir.Shape([first if isinstance(first, int) else 1, *others])
    for value in (*inputs, *(output for graph in copy.graphs() for node in graph for output in node.outputs)):
        if value.shape is not None:
            # What the file recorded for inner values is kept: inference alone may not find it again.
            value.shape = ir.Shape([1 if _symbol(extent) in batches else extent for extent in value.shape])
    try:
        infer_shapes(copy)
    except EdgecError:
        # The batch is tied to another extent; what can be told with it open is told.
        return model
    return copy


def _symbol(extent: int | ir.SymbolicDim) -> str:
    return "" if isinstance(extent, int) else str(extent.value or "")


def _constants(graph: ir.Graph) -> Iterator[ir.TensorProtocol]:
    for value in graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
    for node in graph:
        attribute = node.attributes.get("value")
        if node.op_type == "Constant" and attribute is not None and attribute.type == ir.AttributeType.TENSOR:
            yield attribute.as_tensor()


def _costs_of(graph: ir.Graph, calls: int, unknown_calls: str) -> list[NodeCost]:
    nodes = (node for node in graph if node.op_type != "Constant")
    return [cost for node in nodes for cost in _costs_at(node, calls, unknown_calls)]


def _costs_at(node: ir.Node, calls: int, unknown_calls: str) -> list[NodeCost]:
    """The cost of a node, then those of its bodies."""
    costs = [_cost_of(node, calls, unknown_calls)]
    bodies = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
    if node.op_type == "If":
        branches = [_costs_of(body, calls, unknown_calls) for body in bodies]
        costs += max(branches, key=lambda branch: sum(cost.macs or 0 for cost in branch), default=[])
    elif bodies:
        trips, reason = _trips(node)
        for body in bodies:
            costs += _costs_of(body, calls * trips, unknown_calls or reason)
    return costs


def _cost_of(node: ir.Node, calls: int, unknown_calls: str) -> NodeCost:
    reasons = []
    macs: int | None = None
    try:
        macs = macs_of(node) * calls
    except (UnknownCostError, IndexError) as error:
        reasons.append(str(error))
    if macs and unknown_calls:
        macs = None
        reasons.append(unknown_calls)
    read = [value for value in dict.fromkeys(node.inputs) if value is not None]
    input_bytes = _sum_bytes([value for value in read if not is_constant(value)], reasons)
    output_bytes = _sum_bytes([value for value in node.outputs if value.name], reasons)
    weights = [ir.convenience.get_const_tensor(value) for value in read if is_constant(value)]
    return NodeCost(
        name=node_name(node),
        op=node.op_type,
        macs=macs,
        weight_bytes=sum(tensor.nbytes for tensor in weights if tensor is not None),
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        calls=calls,
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _sum_bytes(values: Sequence[ir.Value], reasons: list[str]) -> int | None:
    try:
        return sum(value_bytes(value) for value in values)
    except UnknownCostError as error:
        reasons.append(str(error))
        return None


def _trips(node: ir.Node) -> tuple[int, str]:
    """How often the body of a loop runs, and why that is unknown (then 1 is assumed)."""
    if node.op_type == "Loop":
        count = node.inputs[0]
        tensor = None if count is None else ir.convenience.get_const_tensor(count)
        if tensor is None or tensor.size != 1:
            return 1, f"the trip count of loop `{node_name(node)}` is not constant"
        return int(tensor.numpy().ravel()[0]), ""
    if node.op_type == "Scan":
        scanned = node.attributes.get_int("num_scan_inputs", 1)
        axis = (node.attributes.get_ints("scan_input_axes", ()) or (0,))[0]
        try:
            return shape_of(node.inputs[-scanned], "scanned input")[axis], ""
        except (UnknownCostError, IndexError) as error:
            return 1, str(error)
    return 1, f"nothing is known of how often `{node_name(node)}` runs its body"


def _peak_of(graph: ir.Graph, given: Sequence[ir.Value]) -> tuple[int, str]:
    """Peak and its node for one graph; the bodies of a node are alive on top of what is alive around it."""
    nodes = [node for node in graph if node.op_type != "Constant"]
    last_use = _last_uses(nodes)
    last_use.update({output: len(nodes) for output in graph.outputs})
    alive = {value: value_bytes(value) for value in given if not is_constant(value)}
    peak, where = sum(alive.values()), "inputs"
    for number, node in enumerate(nodes):
        alive.update({output: value_bytes(output) for output in node.outputs if output.name})
        bodies = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
        inner = max((_peak_of(body, list(body.inputs))[0] for body in bodies), default=0)
        if (here := sum(alive.values()) + inner) > peak:
            peak, where = here, node_name(node)
        for value in [value for value in alive if last_use.get(value, -1) <= number]:
            del alive[value]
    return peak, where


def _last_uses(nodes: Sequence[ir.Node]) -> dict[ir.Value, int]:
    """The last node of this graph that uses a value, itself or in a body."""
    last: dict[ir.Value, int] = {}
    for number, node in enumerate(nodes):
        inside = [
            inner
            for a in node.attributes.values()
            if a.type == ir.AttributeType.GRAPH
            for inner in a.as_graph().all_nodes()
        ]
        bodies = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
        used = [value for user in (node, *inside) for value in user.inputs]
        for value in (*used, *(output for body in bodies for output in body.outputs)):
            if value is not None:
                last[value] = number
    return last
