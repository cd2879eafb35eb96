"""Shape inference over a whole model without a copy of its weights, loops included."""

from __future__ import annotations

import onnx_ir as ir

from edgec.graph.shapes import infer_shapes as infer_shapes_once
from edgec.graph.shapes import open_dimensions, without_large_weights
from edgec.passes.graph_edit import bodies_of, constant, input_of, nodes_of, scalar, static_shape

_LARGE_BYTES = 1 << 16
"""Weights above this size are not looked at: they are no extents, and reading them takes time and memory."""


def infer_shapes(model: ir.Model) -> None:
    """Fill in types and shapes of values, in place, with ONNX's own inference, and those around loops.

    ONNX leaves the shape of a value that a Loop carries open, since it may change from one iteration to the next. Here
    it is taken from the initial value, and kept if the body then yields the same shape again: by induction it never
    changes. The outputs of the Loop follow, collected ones if the number of iterations is constant.
    """
    infer_shapes_once(model, strict=False)
    refuted: set[ir.Value] = set()
    while True:
        assumed = _assume_loop_invariants(model, refuted)
        if not _shape_loop_outputs(model) and not assumed:
            return
        infer_shapes_once(model, strict=False)
        wrong = [value for value, result in assumed if static_shape(result) != static_shape(value)]
        for value in wrong:
            value.shape = None
        if wrong:
            refuted.update(wrong)
            clear_shapes(model)
            infer_shapes_once(model, strict=False)


def infer_computed_shapes(model: ir.Model) -> None:
    """Fill in shapes that are computed from shapes, in place.

    Exporters compute paddings and extents with chains of nodes, which shape inference alone does not follow. They are
    folded in a copy without large weights, and the copy's shapes are taken over by name.
    """
    from edgec.passes.fold_constants import fold_constants

    values = [output for graph in model.graphs() for node in graph for output in node.outputs]
    if all(static_shape(value) is not None for value in values) or open_dimensions(model):
        return
    light = without_large_weights(model, _LARGE_BYTES)
    fold_constants(light)
    infer_shapes(light)
    found = {output.name: output for graph in light.graphs() for node in graph for output in node.outputs}
    found.update({value.name: value for value in light.graph.initializers.values()})
    for value in values:
        source = found.get(value.name)
        if static_shape(value) is None and source is not None and static_shape(source) is not None:
            value.shape = source.shape
            if value.dtype is None and source.dtype is not None:
                value.dtype = source.dtype


def clear_shapes(model: ir.Model) -> None:
    """Forget the shapes of every value that a node makes; inputs and initializers keep theirs."""
    for graph in model.graphs():
        for node in graph:
            for output in node.outputs:
                output.shape = None


def _assume_loop_invariants(model: ir.Model, refuted: set[ir.Value]) -> list[tuple[ir.Value, ir.Value]]:
    """Give carried values of loops the shape of their initial values; pairs of the body's input and output."""
    assumed = []
    for node in nodes_of(model, "Loop"):
        for body in bodies_of(node):
            carried = len(node.inputs) - 2
            pairs = zip(node.inputs[2:], body.inputs[2:], body.outputs[1 : 1 + carried], strict=False)
            for initial, parameter, result in pairs:
                shape = static_shape(initial)
                if static_shape(parameter) is None and shape is not None and parameter not in refuted:
                    parameter.shape = ir.Shape(shape)
                    assumed.append((parameter, result))
    return assumed


def _shape_loop_outputs(model: ir.Model) -> bool:
    """Give outputs of loops the shape that follows from the body; whether any was new."""
    changed = False
    for node in nodes_of(model, "Loop"):
        for body in bodies_of(node):
            carried = len(node.inputs) - 2
            trips = _trip_count(node, body)
            for index, (output, result) in enumerate(zip(node.outputs, body.outputs[1:], strict=False)):
                shape = static_shape(result)
                if index < carried:
                    shape = shape if shape == static_shape(node.inputs[2 + index]) else None
                else:
                    shape = (trips, *shape) if shape is not None and trips is not None else None
                if shape is not None and static_shape(output) is None:
                    output.shape = ir.Shape(shape)
                    changed = True
    return changed


def _trip_count(node: ir.Node, body: ir.Graph) -> int | None:
    """The number of iterations if it is constant and no condition can end the loop earlier."""
    trips = scalar(input_of(node, 0))
    condition, given = input_of(node, 1), constant(input_of(node, 1))
    if trips is None or (condition is not None and (given is None or not given.all())):
        return None
    following = body.outputs[0]
    while (producer := following.producer()) is not None and producer.op_type == "Identity":
        source = producer.inputs[0]
        if source is None:
            return None
        following = source
    known = constant(following) if following is not body.inputs[1] else None
    goes_on = following is body.inputs[1] or (known is not None and bool(known.all()))
    return int(trips) if goes_on else None
