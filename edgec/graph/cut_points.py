"""Where a model can be cut in two, and the two models that a cut makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgec.core.codes.model import CUT_NOT_FOUND
from edgec.core.errors import EdgecError
from edgec.graph.cost import NodeCost, costs_within, is_constant, node_name, value_bytes
from edgec.graph.macs import UnknownCostError


@dataclass(frozen=True)
class CutPoint:
    """A place at which few tensors carry all that is known of the inputs.

    Attributes:
        values: names of the tensors that go from the head to the tail.
        after: the node that makes the last of them; empty where the inputs themselves travel.
        payload_bytes: their size.
        head_nodes: how many nodes come before the cut, constants left out.
        head_macs: multiply-accumulates before the cut.
        tail_macs: multiply-accumulates behind it.
        head_weight_bytes: weights that the head reads.
        tail_weight_bytes: weights that the tail reads.
    """

    values: tuple[str, ...]
    after: str
    payload_bytes: int
    head_nodes: int
    head_macs: int
    tail_macs: int
    head_weight_bytes: int
    tail_weight_bytes: int


def cut_points(model: ir.Model, *, most_values: int = 2) -> tuple[CutPoint, ...]:
    """Every place at which at most `most_values` tensors are alive, in order, from the inputs to the outputs.

    A tensor that every path from inputs to outputs goes through is alone alive behind its node in any topological
    order, so no cut of one tensor is missed; of cuts of several tensors, those of the order of the file are found.

    Args:
        model: with static shapes; nodes in topological order.
        most_values: tensors that may cross the cut together.
    """
    nodes = [node for node in model.graph if node.op_type != "Constant"]
    last_use = {value: number for number, node in enumerate(nodes) for value in _read(node)}
    last_use.update(dict.fromkeys(model.graph.outputs, len(nodes)))
    costs = [costs_within(node) for node in nodes]
    alive = [value for value in model.graph.inputs if value in last_use and not is_constant(value)]
    found: list[CutPoint] = []
    for number in range(-1, len(nodes)):
        if number >= 0:
            made = [value for value in nodes[number].outputs if last_use.get(value, -1) > number]
            alive = [value for value in alive if last_use[value] > number] + made
        if not 0 < len(alive) <= most_values or (found and found[-1].values == _names(alive)):
            continue
        try:
            payload_bytes = sum(value_bytes(value) for value in alive)
        except UnknownCostError:
            # Loops may carry values whose extents depend on the data: nothing of that kind can be sent as a frame.
            continue
        found.append(_cut_point(alive, nodes, number, costs, payload_bytes))
    return tuple(found)


def cut(model: ir.Model, values: Sequence[str]) -> tuple[ir.Model, ir.Model]:
    """The head that makes the given values and the tail that takes them; weights are shared with the model.

    Args:
        model: as for `cut_points`; it is not changed.
        values: `CutPoint.values`.

    Raises:
        EdgecError: EC0212 where a value is not in the model, or the tail would need more than the given values.
    """
    known = {str(value.name) for node in model.graph for value in node.outputs} | {
        str(value.name) for value in model.graph.inputs
    }
    missing = [name for name in values if name not in known]
    if missing:
        what = f"the model has no value `{missing[0]}`"
        raise EdgecError(CUT_NOT_FOUND, what, hint=CUT_NOT_FOUND.remedy)
    inputs = [str(value.name) for value in model.graph.inputs if not value.is_initializer()]
    outputs = [str(value.name) for value in model.graph.outputs]
    return between(model, inputs, values), between(model, values, outputs)


def between(model: ir.Model, given: Sequence[str], made: Sequence[str]) -> ir.Model:
    """The part of a model that makes some values from others, which become its outputs and inputs.

    Args:
        model: it is not changed; the part shares its weights.
        given: names of values; those that the part does not need are no inputs of it.
        made: names of values.

    Raises:
        EdgecError: EC0212 where `made` needs more than `given`.
    """
    whole = model.clone()
    try:
        graph = ir.convenience.extract(whole.graph, list(given), list(made))
    except ValueError as error:
        what = f"the values {', '.join(f'`{name}`' for name in given)} do not cut the model in two: {error}"
        raise EdgecError(CUT_NOT_FOUND, what, hint=CUT_NOT_FOUND.remedy) from error
    # A head need not read every input, but a caller hands them all over: those that are unused go.
    read = {value for node in graph for value in _read(node)} | set(graph.outputs)
    for value in [value for value in graph.inputs if value not in read]:
        graph.inputs.remove(value)
    graph.opset_imports.update(whole.graph.opset_imports)
    return ir.Model(graph, ir_version=whole.ir_version, functions=list(whole.functions.values()))


def take_weights(model: ir.Model, part: ir.Model) -> None:
    """Give the initializers of a model the contents that those of a part of it have, by name, in place."""
    for name, value in part.graph.initializers.items():
        if name in model.graph.initializers:
            model.graph.initializers[name].const_value = value.const_value


def _read(node: ir.Node) -> list[ir.Value]:
    """What a node reads, the bodies of loops and branches included."""
    bodies = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
    inside = [value for body in bodies for inner in body.all_nodes() for value in inner.inputs]
    carried = [value for body in bodies for value in body.outputs]
    return [value for value in (*node.inputs, *inside, *carried) if value is not None]


def _names(values: Sequence[ir.Value]) -> tuple[str, ...]:
    return tuple(str(value.name) for value in values)


def _cut_point(
    alive: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    number: int,
    costs: Sequence[Sequence[NodeCost]],
    payload_bytes: int,
) -> CutPoint:
    head = [cost for group in costs[: number + 1] for cost in group]
    tail = [cost for group in costs[number + 1 :] for cost in group]
    return CutPoint(
        values=_names(alive),
        after=node_name(nodes[number]) if number >= 0 else "",
        payload_bytes=payload_bytes,
        head_nodes=number + 1,
        head_macs=sum(cost.macs or 0 for cost in head),
        tail_macs=sum(cost.macs or 0 for cost in tail),
        head_weight_bytes=sum(cost.weight_bytes for cost in head),
        tail_weight_bytes=sum(cost.weight_bytes for cost in tail),
    )
