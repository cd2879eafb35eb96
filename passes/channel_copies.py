"""What is picked in front of layers that do not read all channels that are made, and how many bytes that copies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import ConstantAxis, Role
from edgec.passes.graph_edit import static_shape


@dataclass(frozen=True, eq=False)
class PickedInput:
    """Channels of one value that some layers read.

    Attributes:
        value: what they are picked from.
        nodes: the layers, at least one.
        places: which of the channels that are made they read, ascending, (picked,), int.
        members: the classes of these, (picked,), int.
        bytes: of what is picked, for each inference.
    """

    value: ir.Value
    nodes: tuple[ir.Node, ...]
    places: np.ndarray
    members: np.ndarray
    bytes: int

    @property
    def contiguous(self) -> bool:
        """Whether they are one range."""
        return int(self.places[-1]) - int(self.places[0]) + 1 == self.places.size


def picked_inputs(
    channels: ChannelMap, kept: np.ndarray, read: Mapping[ir.Node, np.ndarray]
) -> tuple[PickedInput, ...]:
    """Everything that is picked; layers that read the same channels of the same value share it.

    Args:
        channels: of the model.
        kept: whether each class is made, (classes,), bool.
        read: for the layers that choose, whether they read each class, (classes,), bool.
    """
    found: dict[tuple[ir.Value, bytes], PickedInput] = {}
    axes = consumed_axes(channels)
    for node, mask in read.items():
        value, members = node.inputs[0], channels.classes.of(axes[node].channels)
        made = members[kept[members]]
        places = np.flatnonzero(mask[made])
        if value is None or places.size == made.size:
            continue
        key = value, places.tobytes()
        others = found[key].nodes if key in found else ()
        # Shapes may be those before or after the removal: what one channel takes is the same.
        shape = static_shape(value) or (0,)
        one = math.prod(extent for number, extent in enumerate(shape) if number != picked_axis(node, len(shape)))
        itemsize = value.dtype.itemsize if value.dtype is not None else 0
        size = round(one * places.size * itemsize)
        found[key] = PickedInput(value, (*others, node), places, made[places], size)
    return tuple(found.values())


def copied_bytes(picks: Sequence[PickedInput], *, ranges: bool) -> int:
    """Bytes that are copied for each inference; `ranges` says whether contiguous ranges are copied too."""
    return sum(pick.bytes for pick in picks if ranges or not pick.contiguous)


def consumed_axes(channels: ChannelMap) -> dict[ir.Node, ConstantAxis]:
    """The axis of the weights that reads the channels of each layer's input."""
    return {axis.node: axis for axis in reversed(channels.constant_axes) if axis.role is Role.CONSUMES}


def picked_axis(node: ir.Node, rank: int) -> int:
    """The axis of a layer's input that its channels stand on."""
    return 1 if "Conv" in node.op_type else rank - 1
