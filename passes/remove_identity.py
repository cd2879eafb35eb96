"""Pass `remove-identity`: nodes that hand on their input as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.graph_edit import (
    Names,
    add_constant,
    all_nodes,
    constant,
    graph_of,
    input_of,
    opset_of,
    remove_unused,
    replace_value,
    scalar,
    static_shape,
)

_SAME_SHAPE_SUFFICES = {"Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Flatten"}
"""Operators that move and change no element when the shape stays (case 3)."""


class RemoveIdentity(Pass):
    """Remove nodes without effect; outputs of the graph keep their names.

    Case 1: Identity; Dropout in inference, whatever the opset (a mask that is read becomes a constant); Concat, Sum,
        Mean, Max, Min of one input; Split into one part.
    Case 2: Cast to the type that the value already has.
    Case 3: Reshape, Expand, Tile, Squeeze, Unsqueeze, Flatten to the same static shape.
    Case 4: Transpose by the identity permutation, or of axes of which only one is longer than 1 to the same shape.
    Case 5: Pad by nothing; Slice of everything with steps of 1; Resize and Upsample to the same shape.
    Case 6: Add or Sub of 0, Mul or Div by 1, Pow to 1, without broadcasting; Clip without bounds.
    Case 7: a Transpose of a Transpose becomes one, a Reshape of a Reshape (Squeeze, Unsqueeze, Flatten) the last one.

    An Identity that makes an input, a constant or a value of an outer graph into an output has to stay.
    """

    name: ClassVar[str] = "remove-identity"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Remove in place."""
        names = Names(model)
        opset = opset_of(model)
        removed = joined = 0
        skipped: list[Skip] = []
        for node in all_nodes(model):
            if node.domain != "" or node.graph is None or not node.inputs or node.inputs[0] is None:
                continue
            if _join(node, names):
                joined += 1
            if not _is_identity(node, opset):
                continue
            reason = _obstacle(node)
            if reason:
                skipped.append(Skip(str(node.name), reason))
                continue
            _bypass(node, names)
            removed += 1
        return PassResult(
            model,
            modified=bool(removed or joined),
            stats={"removed": removed, "joined": joined},
            skipped=tuple(skipped),
        )


def _is_identity(node: ir.Node, opset: int) -> bool:
    rule = _RULES.get(node.op_type)
    if rule is not None:
        return rule(node)
    if node.op_type == "Dropout":
        return _dropout_is_inference(node, opset)
    return False


def _obstacle(node: ir.Node) -> str:
    """Why an identity must stay; empty if it need not."""
    source, output = node.inputs[0], node.outputs[0]
    if source is None:
        return "it reads nothing"
    if output.is_graph_output():
        producer = source.producer()
        if source.is_graph_output() or producer is None or producer.graph is not node.graph:
            if node.op_type == "Identity":
                return "an output of the graph needs a node of its own"
            return ""
    if node.op_type == "Dropout" and _mask_is_read(node) and static_shape(source) is None:
        return "its mask is read and has no static shape"
    return ""


def _bypass(node: ir.Node, names: Names) -> None:
    source = node.inputs[0]
    if source is None:
        return
    graph = graph_of(node)
    if node.op_type == "Dropout" and _mask_is_read(node):
        mask = add_constant(
            graph, names.fresh(f"{node.name}.mask"), np.ones(static_shape(source) or (), dtype=np.bool_)
        )
        replace_value(node.outputs[1], mask, names)
    replace_value(node.outputs[0], source, names)
    graph.remove(node, safe=True)


def _mask_is_read(node: ir.Node) -> bool:
    return len(node.outputs) > 1 and (bool(node.outputs[1].uses()) or node.outputs[1].is_graph_output())


def _dropout_is_inference(node: ir.Node, opset: int) -> bool:
    """From opset 12 on an input says so; before that, an ONNX file for inference never drops anything."""
    if opset < 12:
        return True
    training = input_of(node, 2)
    return training is None or scalar(training) == 0.0 or scalar(input_of(node, 1)) == 0.0


def _keeps_shape(node: ir.Node) -> bool:
    before, after = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    return before is not None and before == after


def _keeps_type(node: ir.Node) -> bool:
    source = node.inputs[0]
    return source is not None and source.dtype is not None and int(source.dtype) == node.attributes.get_int("to", -1)


def _transposes_nothing(node: ir.Node) -> bool:
    source = node.inputs[0]
    if source is None or source.shape is None:
        return False
    permutation = node.attributes.get_ints("perm", list(reversed(range(len(source.shape)))))
    if list(permutation) == list(range(len(permutation))):
        return True
    shape = static_shape(source)
    if shape is None or not _keeps_shape(node):
        return False
    moving = [axis for axis in permutation if shape[axis] != 1]
    return moving == sorted(moving)


def _pads_nothing(node: ir.Node) -> bool:
    pads = constant(input_of(node, 1)) if len(node.inputs) > 1 else None
    if pads is not None:
        return not pads.any()
    return "pads" in node.attributes and not any(node.attributes["pads"].as_ints())


def _slices_everything(node: ir.Node) -> bool:
    steps = constant(input_of(node, 4))
    if input_of(node, 4) is not None and (steps is None or (steps != 1).any()):
        return False
    return _keeps_shape(node)


def _resizes_nothing(node: ir.Node) -> bool:
    return (
        _keeps_shape(node) and node.attributes.get_string("coordinate_transformation_mode", "") != "tf_crop_and_resize"
    )


def _is_single(node: ir.Node) -> bool:
    return len(node.inputs) == 1


def _neutral(element: float) -> Callable[[ir.Node], bool]:
    """Case 6: the second input is the neutral element."""
    return lambda node: scalar(input_of(node, 1)) == element and _keeps_shape(node)


def _neutral_on_either_side(element: float) -> Callable[[ir.Node], bool]:
    """Case 6 for a commutative operator; the neutral element is moved to the second place."""

    def rule(node: ir.Node) -> bool:
        first, second = node.inputs[0], input_of(node, 1)
        if (
            scalar(first) == element
            and scalar(second) is None
            and static_shape(second) == static_shape(node.outputs[0])
        ):
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)
        return _neutral(element)(node)

    return rule


def _clips_nothing(node: ir.Node) -> bool:
    bounds = [input_of(node, 1), input_of(node, 2)]
    limits = (float("-inf"), float("inf"))
    if "min" in node.attributes or "max" in node.attributes:
        return False
    return all(bound is None or scalar(bound) == limit for bound, limit in zip(bounds, limits, strict=True))


def _splits_nothing(node: ir.Node) -> bool:
    return len(node.outputs) == 1


_RULES: dict[str, Callable[[ir.Node], bool]] = {
    "Identity": lambda node: True,
    **dict.fromkeys(("Concat", "Sum", "Mean", "Max", "Min"), _is_single),
    "Split": _splits_nothing,
    "Cast": _keeps_type,
    **dict.fromkeys(_SAME_SHAPE_SUFFICES, _keeps_shape),
    "Transpose": _transposes_nothing,
    "Pad": _pads_nothing,
    "Slice": _slices_everything,
    **dict.fromkeys(("Resize", "Upsample"), _resizes_nothing),
    "Add": _neutral_on_either_side(0.0),
    "Sub": _neutral(0.0),
    "Mul": _neutral_on_either_side(1.0),
    "Div": _neutral(1.0),
    "Pow": _neutral(1.0),
    "Clip": _clips_nothing,
}


def _join(node: ir.Node, names: Names) -> bool:
    """Case 7; whether the node was joined with its producer."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if producer is None or producer.domain != "" or not producer.inputs or producer.inputs[0] is None:
        return False
    if node.op_type == "Transpose" and producer.op_type == "Transpose":
        rank = len(producer.inputs[0].shape) if producer.inputs[0].shape is not None else 0
        reversal = list(reversed(range(rank)))
        first = producer.attributes.get_ints("perm", reversal)
        second = node.attributes.get_ints("perm", reversal)
        if len(first) != len(second):
            return False
        node.attributes["perm"] = ir.AttrInt64s("perm", [first[axis] for axis in second])
    elif node.op_type == "Reshape" and producer.op_type in {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}:
        shape = static_shape(node.outputs[0])
        if shape is None or 0 in shape:
            return False
        wanted = add_constant(graph_of(node), names.fresh(f"{node.name}.shape"), np.array(shape, dtype=np.int64))
        node.replace_input_with(1, wanted)
    else:
        return False
    node.replace_input_with(0, producer.inputs[0])
    remove_unused([producer])
    return True
