"""The state of a walk through a network that follows its channels: what the rules of the operators read and write.

Every value of the network has an array of channels. It has as many axes as the value, and an axis on which the channel
does not depend has extent 1: the output of a convolution has (1, C, 1, 1). It depends on one axis at most, so that
removing a channel removes slices of that axis; where an operator mixes two axes, channels are tied until one is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from edgec.graph.channels_classes import ChannelClasses, Channels
from edgec.graph.shapes import static_shape


class UntraceableError(Exception):
    """Channels cannot be followed through a node; the message says why."""


class Role(StrEnum):
    """What a channel is to an axis of a constant."""

    PRODUCES = "produces"
    CONSUMES = "consumes"
    FOLLOWS = "follows"


@dataclass(frozen=True, eq=False)
class ConstantAxis:
    """An axis of a constant input of a node along which there is one slice for each channel.

    Attributes:
        node: reads the constant.
        input: number of the input.
        axis: of the constant.
        channels: of each index of the axis.
        role: whether the slices compute the channels, read them, or accompany them (biases, scales).
    """

    node: ir.Node
    input: int
    axis: int
    channels: Channels
    role: Role


@dataclass(frozen=True, eq=False)
class Contraction:
    """A node that multiplies and accumulates.

    Attributes:
        node: the Conv, ConvTranspose, Gemm or MatMul.
        factors: vectors of channels; the multiply-accumulates are proportional to what is left of each.
        groups: the channel of each group of a convolution whose groups are removed as wholes; else None.
    """

    node: ir.Node
    factors: tuple[Channels, ...]
    groups: Channels | None = None


class ChannelTrace:
    """Channels of all values seen so far, and what the nodes do to them."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.classes = ChannelClasses()
        self.channels: dict[ir.Value, Channels] = {}
        self.constant_axes: list[ConstantAxis] = []
        self.contractions: list[Contraction] = []

    def give(self, value: ir.Value, channels: Channels) -> None:
        """Record the channels of a value; it must depend on one axis at most."""
        if channels.size == 1:
            self.classes.freeze(channels, "it is the only one on its axis")
        self.channels[value] = channels

    def give_frozen(self, value: ir.Value, reason: str) -> None:
        """Record that a value has channels of its own that must all stay."""
        channel = self.classes.new(1)
        self.classes.freeze(channel, reason)
        rank = 0 if value.shape is None else len(value.shape)
        self.channels[value] = channel.reshape((1,) * rank)

    def vector(self, value: ir.Value, axis: int) -> Channels:
        """The channels along an axis of a value, one for each index.

        Raises:
            UntraceableError: they depend on another axis.
        """
        varying = self.varying_axis(value)
        if varying not in (None, axis % len(shape_of(value))):
            raise UntraceableError(f"its channels stand on axis {varying} of `{value.name}`")
        return np.broadcast_to(self.channels[value].ravel(), (shape_of(value)[axis],))

    def varying_axis(self, value: ir.Value) -> int | None:
        """The axis on which the channels of a value depend."""
        return varying_axis(self.channels[value])

    def follow(self, node: ir.Node, position: int, axis: int, channels: Channels) -> None:
        """Record that a constant input has one slice for each channel along an axis.

        Raises:
            UntraceableError: the input is computed at run time, or has another number of slices.
        """
        value = node.inputs[position]
        if value is None:
            return
        tensor = constant_tensor(value)
        if tensor is None:
            raise UntraceableError(f"its input `{value.name}` is not constant")
        if tensor.shape.rank() <= axis or tensor.shape[axis] != channels.size:
            raise UntraceableError(f"its constant `{value.name}` does not fit its channels")
        self.constant_axes.append(ConstantAxis(node, position, axis, channels, Role.FOLLOWS))

    def settle(self, channels: Channels, axis: int | None = None) -> Channels:
        """Tie channels until they depend on one axis: the given one, or the one that leaves most of them."""
        for number in range(channels.ndim):
            first = channels.take([0], axis=number)
            if channels.shape[number] > 1 and (channels == first).all():
                channels = first
        varying = [number for number, extent in enumerate(channels.shape) if extent > 1]
        if not varying or (len(varying) == 1 and axis in (None, varying[0])):
            return channels
        candidates = {number: _heads(_slices(channels, number)) for number in (varying if axis is None else [axis])}
        axis = max(candidates, key=lambda number: np.unique(candidates[number]).size)
        heads = candidates[axis]
        self.classes.tie(heads[:, None], _slices(channels, axis))
        return along(heads, axis, channels.ndim)


def varying_axis(channels: Channels) -> int | None:
    """The axis on which channels depend; None if they are all the same."""
    return next((axis for axis, extent in enumerate(channels.shape) if extent > 1), None)


def along(vector: Channels, axis: int, rank: int) -> Channels:
    """A vector as an array of a rank with all its elements on one axis."""
    return vector.reshape([-1 if number == axis else 1 for number in range(rank)])


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """The static shape of a value.

    Raises:
        UntraceableError: it is open.
    """
    shape = static_shape(value)
    if shape is None or value is None:
        raise UntraceableError(f"the shape of `{'' if value is None else value.name}` is open")
    return shape


def constant_tensor(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The contents of a value known at compile time."""
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


def integers(node: ir.Node, name: str, position: int) -> tuple[int, ...] | None:
    """A list of integers that is an attribute or a constant input, depending on the opset; None if it is left out.

    Raises:
        UntraceableError: the input is computed at run time.
    """
    if position < len(node.inputs) and (value := node.inputs[position]) is not None:
        tensor = constant_tensor(value)
        if tensor is None:
            raise UntraceableError(f"its input `{value.name}` is not constant")
        return tuple(int(number) for number in tensor.numpy().ravel())
    given: Sequence[int] = node.attributes.get_ints(name, ())
    return tuple(given) if name in node.attributes else None


def _slices(channels: Channels, axis: int) -> np.ndarray:
    return np.moveaxis(channels, axis, 0).reshape(channels.shape[axis], -1)


def _heads(slices: np.ndarray) -> np.ndarray:
    """The first channel of each slice; 0 where a slice has none."""
    return np.asarray(slices[np.arange(len(slices)), (slices > 0).argmax(axis=1)])
