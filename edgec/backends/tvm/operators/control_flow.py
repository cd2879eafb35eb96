"""If, Loop and Scan: blocks that run under a condition or several times, with static shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.backends.tvm.kernel_graph import Block, Conditional, Repeat, UnsupportedNodeError, Value
from edgec.backends.tvm.lowering import Lowering, label, lowers
from edgec.backends.tvm.operators.emission import normalized_axis, optional_input, required_input

_ENDLESS = 2**63 - 1
"""Upper bound of the iterations of a loop that only its condition ends."""

_FIX = "fix the shapes or the trip count before the export, or cut the model before this node"


def _subgraph(node: ir.Node, name: str) -> ir.Graph:
    graph = node.attributes.get_graph(name)
    if graph is None:
        raise UnsupportedNodeError(f"its {name} is missing", "run the ONNX checker on the model")
    return graph


def _named(onnx_value: ir.Value, like: Value) -> Value:
    return Value(str(onnx_value.name), like.shape, like.dtype)


def _scalar(lowering: Lowering, onnx_value: ir.Value) -> Value:
    """A value of one element without axes."""
    source = lowering.value(onnx_value)
    if source.shape == ():
        return source
    name = f"{source.name}.scalar"
    return lowering.view(name, source, (name, (), source.dtype))


@lowers("If")
def conditional(node: ir.Node, lowering: Lowering) -> None:
    """One of two blocks; a constant condition leaves only the nodes of one."""
    condition = required_input(node, 0)
    branches = [_subgraph(node, name) for name in ("then_branch", "else_branch")]
    known = lowering.constant(condition)
    if known is not None:
        taken = branches[0] if bool(known.reshape(-1)[0]) else branches[1]
        lowering.run(taken)
        for output, result in zip(node.outputs, taken.outputs, strict=True):
            lowering.alias(output, result)
        return
    chosen, otherwise = (lowering.nested(branch, ()) for branch in branches)
    for first, second in zip(chosen.results, otherwise.results, strict=True):
        if (first.shape, first.dtype) != (second.shape, second.dtype):
            raise UnsupportedNodeError(
                f"its branches give {first.dtype}{list(first.shape)} and {second.dtype}{list(second.shape)}, and "
                "which one is computed at run time",
                _FIX,
            )
    outputs = tuple(_named(output, result) for output, result in zip(node.outputs, chosen.results, strict=True))
    lowering.steps.append(Conditional(label(node), _scalar(lowering, condition), chosen, otherwise, outputs))
    for output, made in zip(node.outputs, outputs, strict=True):
        lowering.define(output, made)


def _check_carried(carried: Sequence[Value], results: Sequence[Value]) -> None:
    for before, after in zip(carried, results, strict=True):
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            raise UnsupportedNodeError(
                f"the value {before.name} that it carries changes from {before.dtype}{list(before.shape)} to "
                f"{after.dtype}{list(after.shape)}",
                _FIX,
            )


def _stacks(names: Sequence[str], slices: Sequence[Value], trips: int) -> tuple[Value, ...]:
    """What collects the slices that the iterations make, one behind the other."""
    return tuple(Value(name, (trips, *part.shape), part.dtype) for name, part in zip(names, slices, strict=True))


@lowers("Loop")
def loop(node: ir.Node, lowering: Lowering) -> None:
    """A block that runs a number of times or while a condition holds."""
    body = _subgraph(node, "body")
    limit, condition = optional_input(node, 0), optional_input(node, 1)
    carried = tuple(lowering.value(x) for x in node.inputs[2:] if x is not None)
    _refuse_sequences(node, body)
    count = lowering.constant(limit)
    trips = _ENDLESS if count is None else max(0, int(count.reshape(-1)[0]))
    known = lowering.constant(condition)
    if known is not None and not bool(known.reshape(-1)[0]):
        trips = 0
    parameters = (
        Value(str(body.inputs[0].name), (), "int64"),
        Value(str(body.inputs[1].name), (), "bool"),
        *(_named(x, value) for x, value in zip(body.inputs[2:], carried, strict=True)),
    )
    block = lowering.nested(body, parameters)
    going = block.results[0]
    tests = going is not parameters[1] and not (going.data is not None and bool(going.data.reshape(-1)[0]))
    _check_carried(carried, block.results[1 : 1 + len(carried)])
    slices = block.results[1 + len(carried) :]
    fixed = count is not None and not tests and (condition is None or known is not None)
    if slices and not fixed:
        raise UnsupportedNodeError("it collects outputs, but its number of iterations is computed at run time", _FIX)
    finals = tuple(_named(x, value) for x, value in zip(node.outputs, carried, strict=False))
    collected = _stacks([str(x.name) for x in node.outputs[len(carried) :]], slices, trips)
    lowering.steps.append(
        Repeat(
            node=label(node),
            trips=trips,
            trip_count=_scalar(lowering, limit) if limit is not None and count is None else None,
            condition=_scalar(lowering, condition) if condition is not None and known is None else None,
            tests_condition=tests,
            body=block,
            carried=carried,
            carried_outputs=finals,
            scanned=(),
            scanned_reversed=(),
            collected=collected,
            collected_reversed=tuple(False for _ in slices),
        )
    )
    for output, made in zip(node.outputs, (*finals, *collected), strict=True):
        lowering.define(output, made)


def _refuse_sequences(node: ir.Node, body: ir.Graph) -> None:
    for x in (*node.inputs, *node.outputs, *body.inputs, *body.outputs):
        if x is not None and isinstance(x.type, ir.SequenceType | ir.OptionalType):
            raise UnsupportedNodeError(f"it carries {x.name}, which is a sequence or an optional value", _FIX)


def _directions(node: ir.Node, name: str, count: int) -> tuple[bool, ...]:
    return tuple(bool(direction) for direction in node.attributes.get_ints(name, (0,) * count))


def _moved(lowering: Lowering, value: Value, axis: int, name: str, *, to_front: bool) -> Value:
    """A value with one axis moved to the front, or the front axis moved there."""
    others = [number for number in range(len(value.shape)) if number != axis]
    order = (axis, *others)
    if not to_front:
        order = tuple(int(place) for place in np.argsort(order))
    return lowering.transpose(value, order, name)


@lowers("Scan")
def scan(node: ir.Node, lowering: Lowering) -> None:
    """A block that runs once for each slice of its scanned inputs.

    Raises:
        UnsupportedNodeError: opset 8, in which Scan has a batch axis and lengths.
    """
    if lowering.opset(node) < 9:
        raise UnsupportedNodeError(
            "it is the Scan of opset 8, with a batch axis", "convert the model to opset 9 or later"
        )
    body = _subgraph(node, "body")
    count = node.attributes.get_int("num_scan_inputs", 0)
    inputs = [required_input(node, position) for position in range(len(node.inputs))]
    carried = tuple(lowering.value(x) for x in inputs[: len(inputs) - count])
    scanned = _scanned(node, lowering, inputs[len(inputs) - count :])
    trips = scanned[0].shape[0]
    iteration = Value(f"{label(node)}.iteration", (), "int64")
    running = Value(f"{label(node)}.running", (), "bool")
    parts = [Value(value.name, value.shape[1:], value.dtype) for value in scanned]
    parameters = [_named(x, value) for x, value in zip(body.inputs, (*carried, *parts), strict=True)]
    inner = lowering.nested(body, parameters)
    block = Block((iteration, running, *parameters), (running, *inner.results), inner.steps)
    _check_carried(carried, inner.results[: len(carried)])
    slices = inner.results[len(carried) :]
    finals = tuple(_named(x, value) for x, value in zip(node.outputs, carried, strict=False))
    stacked = _stacks([f"{x.name}.stacked" for x in node.outputs[len(carried) :]], slices, trips)
    lowering.steps.append(
        Repeat(
            node=label(node),
            trips=trips,
            trip_count=None,
            condition=None,
            tests_condition=False,
            body=block,
            carried=carried,
            carried_outputs=finals,
            scanned=scanned,
            scanned_reversed=_directions(node, "scan_input_directions", count),
            collected=stacked,
            collected_reversed=_directions(node, "scan_output_directions", len(slices)),
        )
    )
    for output, made in zip(node.outputs, finals, strict=False):
        lowering.define(output, made)
    _define_moved(node, lowering, stacked)


def _define_moved(node: ir.Node, lowering: Lowering, stacked: Sequence[Value]) -> None:
    """The last outputs of a Scan, with the axis of the iterations where it is asked for."""
    axes = node.attributes.get_ints("scan_output_axes", (0,) * len(stacked))
    for output, made, axis in zip(node.outputs[len(node.outputs) - len(stacked) :], stacked, axes, strict=True):
        place = normalized_axis(axis, len(made.shape))
        lowering.define(output, _moved(lowering, made, place, str(output.name), to_front=False))


def _scanned(node: ir.Node, lowering: Lowering, inputs: Sequence[ir.Value]) -> tuple[Value, ...]:
    axes = node.attributes.get_ints("scan_input_axes", (0,) * len(inputs))
    scanned = []
    for x, axis in zip(inputs, axes, strict=True):
        value = lowering.value(x)
        place = normalized_axis(axis, len(value.shape))
        scanned.append(_moved(lowering, value, place, f"{value.name}.scanned", to_front=True))
    return tuple(scanned)
