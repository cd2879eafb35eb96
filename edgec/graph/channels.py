"""Channels of a network: who makes each of them, who reads it, and which can only be removed together.

A channel is a slice of the output of a node with weights: a filter of a convolution, a column of a dense layer. It is
followed through the network to the nodes with weights that read it. Two channels are in one class if they meet on the
way, in an addition say, so that one cannot go without the other. Groups are the classes that one layer makes, together
with the layers that share them: the unit in which a pruner decides how many to keep. The idea of dependency groups is
from Fang et al., DepGraph: Towards Any Structural Pruning, 2023; here they are found channel by channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph import channels_contraction as contraction
from edgec.graph import channels_movement as movement
from edgec.graph import channels_pointwise as pointwise
from edgec.graph.channels_classes import Channels, ResolvedClasses, connected_components
from edgec.graph.channels_trace import (
    ChannelTrace,
    ConstantAxis,
    Contraction,
    Role,
    UntraceableError,
    constant_tensor,
)
from edgec.graph.shapes import static_shape

Rule = Callable[[ChannelTrace, ir.Node], None]


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Classes of channels that the same layers make.

    Attributes:
        producers: the axes of weights whose slices make the channels, in the order of the graph; never empty.
        removable: numbers of the classes that may go, ascending.
        staying: number of classes of these producers that must stay.
        reason: why some must stay; empty if none must.
    """

    producers: tuple[ConstantAxis, ...]
    removable: np.ndarray
    staying: int
    reason: str

    @property
    def name(self) -> str:
        """The first of the layers, and how many there are beside it."""
        more = f" and {len(self.producers) - 1} more" if len(self.producers) > 1 else ""
        return f"{self.producers[0].node.name}{more}"


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """All channels of the main graph of a model.

    Attributes:
        values: the channels of every value, with as many axes as the value; see `channels_trace`.
        constant_axes: the axes of constants with one slice for each channel.
        contractions: the nodes that multiply and accumulate.
        classes: the class of each channel.
        reasons: why a class must stay, by number.
        groups: what may be removed, in the order of the graph; also groups of which nothing may.
    """

    values: dict[ir.Value, Channels]
    constant_axes: tuple[ConstantAxis, ...]
    contractions: tuple[Contraction, ...]
    classes: ResolvedClasses
    reasons: dict[int, str]
    groups: tuple[ChannelGroup, ...]

    def vectors(self) -> list[np.ndarray]:
        """The classes along every value, each combination once: not all of one vector may go."""
        found: dict[bytes, np.ndarray] = {}
        for channels in self.values.values():
            vector = np.unique(self.classes.of(channels))
            found.setdefault(vector.tobytes(), vector)
        return list(found.values())


def trace_channels(model: ir.Model) -> ChannelMap:
    """Follow the channels of the main graph of a model.

    Inputs and outputs of the graph stay as they are, and so do channels that reach an operator of which nothing is
    known, a value of open shape, or the body of a branch or a loop.
    """
    trace = ChannelTrace(model.opset_imports.get("", 1))
    for value in model.graph.inputs:
        if constant_tensor(value) is None:
            trace.give_frozen(value, f"`{value.name}` is an input of the model")
    for node in model.graph:
        if node.op_type != "Constant":
            _follow(trace, node)
    for value in model.graph.outputs:
        if value in trace.channels:
            trace.classes.freeze(trace.channels[value], f"`{value.name}` is an output of the model")
    classes = trace.classes.resolve()
    reasons = dict(classes.reasons)
    for value, channels in trace.channels.items():
        own = np.unique(classes.of(channels))
        if own.size == 1:
            reasons.setdefault(int(own[0]), f"nothing of `{value.name}` would be left")
    groups = _groups(trace.constant_axes, classes, reasons)
    return ChannelMap(trace.channels, tuple(trace.constant_axes), tuple(trace.contractions), classes, reasons, groups)


def _follow(trace: ChannelTrace, node: ir.Node) -> None:
    axes, contractions = len(trace.constant_axes), len(trace.contractions)
    try:
        _rule(trace, node)(trace, node)
    except UntraceableError as obstacle:
        del trace.constant_axes[axes:]
        del trace.contractions[contractions:]
        reason = f"{node.op_type} `{node.name}`: {obstacle}"
        for value in (*node.inputs, *_captured(node)):
            if value is not None and value in trace.channels:
                trace.classes.freeze(trace.channels[value], reason)
        for output in node.outputs:
            trace.give_frozen(output, reason)


def _rule(trace: ChannelTrace, node: ir.Node) -> Rule:
    """The rule of an operator.

    Raises:
        UntraceableError: there is none, or the shapes that every rule needs are open.
    """
    rule = _RULES.get(node.op_type) if node.domain == "" else None
    if rule is None:
        raise UntraceableError("its channels are not followed")
    for value in (*node.inputs, *node.outputs):
        if value is None or value.name == "":
            continue
        if value not in trace.channels and constant_tensor(value) is None and value.producer() is not node:
            raise UntraceableError(f"`{value.name}` comes from outside of the graph")
        if static_shape(value) is None:
            raise UntraceableError(f"the shape of `{value.name}` is open")
    return rule


def _captured(node: ir.Node) -> list[ir.Value]:
    """Values that the bodies of a node read from around it."""
    bodies = [attribute for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH]
    return [
        value
        for body in bodies
        for inner in body.as_graph().all_nodes()
        for value in inner.inputs
        if value is not None and value.graph is node.graph
    ] + [value for body in bodies for value in body.as_graph().outputs if value.graph is node.graph]


def _groups(axes: list[ConstantAxis], classes: ResolvedClasses, reasons: dict[int, str]) -> tuple[ChannelGroup, ...]:
    stays = np.zeros(classes.count, bool)
    stays[list(reasons)] = True
    producers = [axis for axis in axes if axis.role is Role.PRODUCES]
    members = [np.unique(classes.of(axis.channels)) for axis in producers]
    removable = [own[~stays[own]] for own in members]
    pairs = [np.stack([np.full(own.size, own[0]), own], axis=1) for own in removable if own.size]
    root = connected_components(classes.count, np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64))
    together: dict[int, list[int]] = {}
    for number, own in enumerate(removable):
        # A layer that loses nothing is a group by itself; its key cannot be that of a class.
        together.setdefault(int(root[own[0]]) if own.size else -1 - number, []).append(number)
    groups = []
    for numbers in together.values():
        everything = np.unique(np.concatenate([members[number] for number in numbers]))
        staying = everything[stays[everything]]
        reason = reasons[int(staying[0])] if staying.size else ""
        kept = everything[~stays[everything]]
        groups.append(ChannelGroup(tuple(producers[n] for n in numbers), kept, int(staying.size), reason))
    return tuple(groups)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(pointwise.POINTWISE, pointwise.pointwise),
    **dict.fromkeys(pointwise.WINDOWED, pointwise.windowed),
    **dict.fromkeys(pointwise.REDUCTIONS, pointwise.reduction),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), pointwise.normalisation),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization"), pointwise.across),
    "Pad": pointwise.pad,
    **dict.fromkeys(("Conv", "ConvTranspose"), contraction.convolution),
    "Gemm": contraction.gemm,
    "MatMul": contraction.matrix_product,
    **dict.fromkeys(("Reshape", "Flatten"), movement.reshape),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), movement.squeeze),
    **dict.fromkeys(("Expand", "Tile"), movement.spread),
    "Transpose": movement.transpose,
    "Concat": movement.concatenate,
    "Split": movement.split,
    "Slice": movement.slice_,
    "Gather": movement.gather,
    "DepthToSpace": movement.depth_to_space,
    "SpaceToDepth": movement.space_to_depth,
}
