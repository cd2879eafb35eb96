"""Taking channels out of a model: slices of constants, counts of groups, and the numbers that operators are given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import ConstantAxis, Role, integers, varying_axis
from edgec.passes.channel_copies import picked_axis, picked_inputs
from edgec.passes.graph_edit import (
    Names,
    add_constant,
    constant,
    graph_of,
    insert_before,
    remove_unused,
    static_shape,
)
from edgec.passes.node_writer import NodeWriter


def remove_channels(
    model: ir.Model, channels: ChannelMap, kept: np.ndarray, read: Mapping[ir.Node, np.ndarray] | None = None
) -> int:
    """Remove classes of channels, in place; shapes of all values are adjusted.

    Args:
        model: the model that `channels` was traced in, unchanged since.
        channels: its channels.
        kept: whether a class stays, (classes,), bool; False only for classes that may go, and not for all along any
            one value.
        read: for layers that read less than what is kept, whether they read each class, (classes,), bool.

    Returns:
        Number of nodes inserted that pick what a layer reads.
    """
    surgery = _Surgery(model, channels, kept, read or {})
    for (node, position), axes in _by_constant(channels).items():
        surgery.slice_constant(node, position, axes)
    for contraction in channels.contractions:
        if contraction.groups is not None:
            left = int(surgery.keeps(contraction.groups).sum())
            _set_integer(contraction.node, "group", left)
    for node in model.graph:
        if node.op_type in _EDITS and node.domain == "" and surgery.touches(node):
            _EDITS[node.op_type](surgery, node)
    surgery.shrink_shapes()
    surgery.pick_inputs(model)
    surgery.drop_unused()
    return surgery.picks


def _by_constant(channels: ChannelMap) -> dict[tuple[ir.Node, int], list[ConstantAxis]]:
    found: dict[tuple[ir.Node, int], list[ConstantAxis]] = {}
    for axis in channels.constant_axes:
        found.setdefault((axis.node, axis.input), []).append(axis)
    return found


class _Surgery:
    """The model, what is kept of it, and the constants that were replaced."""

    def __init__(
        self, model: ir.Model, channels: ChannelMap, kept: np.ndarray, read: Mapping[ir.Node, np.ndarray]
    ) -> None:
        self.picks = 0
        self.opset = model.opset_imports.get("", 1)
        self._channels = channels
        self._kept = kept
        self._read = {node: mask & kept for node, mask in read.items()}
        self._names = Names(model)
        self._replaced: dict[ir.Value, None] = {}

    def keeps(self, channels: np.ndarray) -> np.ndarray:
        """Whether each channel stays."""
        return np.asarray(self._kept[self._channels.classes.of(channels)])

    def of(self, value: ir.Value | None) -> tuple[int, np.ndarray] | None:
        """The axis of a value that becomes shorter, and which of its slices stay; None if nothing of it goes."""
        if value is None or value not in self._channels.values:
            return None
        channels = self._channels.values[value]
        axis = varying_axis(channels)
        if axis is None or (stays := self.keeps(channels.ravel())).all():
            return None
        return axis, stays

    def touches(self, node: ir.Node) -> bool:
        """Whether an input or output of a node becomes shorter."""
        return any(self.of(value) is not None for value in (*node.inputs, *node.outputs))

    def new_shape(self, value: ir.Value) -> tuple[int, ...]:
        """The shape of a value once channels are gone."""
        shape = list(static_shape(value) or ())
        if (change := self.of(value)) is not None:
            shape[change[0]] = int(change[1].sum())
        return tuple(shape)

    def slice_constant(self, node: ir.Node, position: int, axes: list[ConstantAxis]) -> None:
        """Replace a constant input by what stays of it."""
        stays = [(axis.axis, self._slices(axis)) for axis in axes]
        contents = constant(node.inputs[position])
        if contents is None or all(mask.all() for _, mask in stays):
            return
        for axis, mask in stays:
            if not mask.all():
                contents = np.compress(mask, contents, axis=axis)
        self.replace(node, position, np.ascontiguousarray(contents))

    def _slices(self, axis: ConstantAxis) -> np.ndarray:
        """Which slices of a constant stay."""
        mask = self._read.get(axis.node, self._kept) if axis.role is Role.CONSUMES else self._kept
        return np.asarray(mask[self._channels.classes.of(axis.channels)])

    def pick_inputs(self, model: ir.Model) -> None:
        """Put a Slice or a Gather in front of layers that do not read all of what is kept."""
        for pick in picked_inputs(self._channels, self._kept, self._read):
            writer = NodeWriter(model, self._names, f"{pick.value.name}.read")
            shape = list(static_shape(pick.value) or ())
            along = picked_axis(pick.nodes[0], len(shape))
            picked = _pick(writer, pick.value, pick.places, along)
            picked.type = pick.value.type
            picked.shape = ir.Shape([pick.places.size if n == along else e for n, e in enumerate(shape)])
            insert_before(pick.nodes[0], writer.nodes)
            for node in pick.nodes:
                node.replace_input_with(0, picked)
            self.picks += 1

    def replace(self, node: ir.Node, position: int, contents: np.ndarray) -> None:
        """Give a node a constant of its own."""
        old = node.inputs[position]
        name = f"{node.name}.{position}" if old is None else f"{old.name}.kept"
        node.replace_input_with(position, add_constant(graph_of(node), self._names.fresh(name), contents))
        if old is not None:
            self._replaced[old] = None

    def add_input(self, node: ir.Node, contents: np.ndarray) -> None:
        """Append a constant to the inputs of a node."""
        name = self._names.fresh(f"{node.name}.{len(node.inputs)}")
        node.resize_inputs(len(node.inputs) + 1)
        node.replace_input_with(len(node.inputs) - 1, add_constant(graph_of(node), name, contents))

    def shrink_shapes(self) -> None:
        """Adjust the shapes of all values."""
        changed = [value for value in self._channels.values if self.of(value) is not None]
        for value in changed:
            value.shape = ir.Shape(self.new_shape(value))

    def drop_unused(self) -> None:
        """Remove the constants that were replaced, if nobody else reads them."""
        for value in self._replaced:
            if value.uses() or value.is_graph_output():
                continue
            if value.is_initializer() and value.graph is not None:
                value.graph.initializers.pop(str(value.name))
            elif (producer := value.producer()) is not None:
                remove_unused([producer])


def _pick(writer: NodeWriter, value: ir.Value, places: np.ndarray, axis: int) -> ir.Value:
    """The given places of an axis: a Slice where they are contiguous."""
    first, last = int(places[0]), int(places[-1]) + 1
    if last - first != places.size:
        return writer.one("Gather", value, writer.integers("places", *places.tolist()), axis=axis)
    if writer.opset < 10:
        return writer.one("Slice", value, axes=[axis], starts=[first], ends=[last])
    bounds = [writer.integers(role, number) for role, number in (("first", first), ("last", last), ("axis", axis))]
    return writer.one("Slice", value, *bounds)


def _edit_shape(surgery: _Surgery, node: ir.Node) -> None:
    """Reshape and Expand are given the new shape of their output."""
    surgery.replace(node, 1, np.array(surgery.new_shape(node.outputs[0]), np.int64))


def _edit_resize(surgery: _Surgery, node: ir.Node) -> None:
    """Resize by sizes is given the new extent of the channels."""
    if len(node.inputs) < 4 or node.inputs[3] is None:
        return
    shape = surgery.new_shape(node.outputs[0])
    axes = [axis % len(shape) for axis in node.attributes.get_ints("axes", None) or range(len(shape))]
    surgery.replace(node, 3, np.array([shape[axis] for axis in axes], np.int64))


def _edit_split(surgery: _Surgery, node: ir.Node) -> None:
    """Split is given the new sizes of its parts."""
    change = surgery.of(node.inputs[0])
    rank = len(static_shape(node.inputs[0]) or ())
    axis = node.attributes.get_int("axis", 0) % rank
    if change is None or change[0] != axis:
        return
    sizes = [surgery.new_shape(output)[axis] for output in node.outputs]
    if surgery.opset < 13:
        node.attributes["split"] = ir.AttrInt64s("split", sizes)
        return
    node.attributes.pop("num_outputs", None)
    contents = np.array(sizes, np.int64)
    if len(node.inputs) > 1:
        surgery.replace(node, 1, contents)
    else:
        surgery.add_input(node, contents)


def _edit_slice(surgery: _Surgery, node: ir.Node) -> None:
    """Slice is given bounds in terms of the channels that stay."""
    change = surgery.of(node.inputs[0])
    if change is None:
        return
    axis, stays = change
    starts, ends = list(integers(node, "starts", 1) or ()), list(integers(node, "ends", 2) or ())
    axes = integers(node, "axes", 3) or tuple(range(len(starts)))
    for number, own in enumerate(axes):
        if own % len(static_shape(node.inputs[0]) or (1,)) != axis:
            continue
        first, last, _ = slice(starts[number], ends[number]).indices(stays.size)
        starts[number], ends[number] = int(stays[:first].sum()), int(stays[:last].sum())
    if len(node.inputs) > 2:
        surgery.replace(node, 1, np.array(starts, np.int64))
        surgery.replace(node, 2, np.array(ends, np.int64))
    else:
        node.attributes["starts"] = ir.AttrInt64s("starts", starts)
        node.attributes["ends"] = ir.AttrInt64s("ends", ends)


def _edit_gather(surgery: _Surgery, node: ir.Node) -> None:
    """Gather is given the new places of the channels that it takes and that stay."""
    change = surgery.of(node.inputs[0])
    indices = constant(node.inputs[1])
    if change is None or indices is None:
        return
    axis, stays = change
    if node.attributes.get_int("axis", 0) % len(static_shape(node.inputs[0]) or (1,)) != axis:
        return
    wanted = np.asarray(indices) % stays.size
    places = np.cumsum(stays) - 1
    still = wanted if wanted.ndim == 0 else wanted[stays[wanted]]
    surgery.replace(node, 1, np.asarray(places[still], np.int64))


def _set_integer(node: ir.Node, name: str, number: int) -> None:
    node.attributes[name] = ir.AttrInt64(name, number)


_EDITS = {
    "Expand": _edit_shape,
    "Gather": _edit_gather,
    "Reshape": _edit_shape,
    "Resize": _edit_resize,
    "Slice": _edit_slice,
    "Split": _edit_split,
}
