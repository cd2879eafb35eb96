"""Where a bottleneck can stand in a convolutional network, and where it is best put."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from edgec.core.codes.split import NO_CUT
from edgec.core.errors import EdgecError
from edgec.graph.cut_points import cut_points
from edgec.graph.shapes import model_inputs, static_shape

_MOST_REPLACED = 0.5
_FEWEST_AXES = 3


@dataclass(frozen=True)
class Place:
    """A value that a decoder can make, and the input that the encoder reads instead of the layers before the value.

    Attributes:
        value: its name.
        shape: its extents, [1, channels, positions...].
        source: name of the input of the network.
        source_shape: its extents.
        replaced: the share of the multiply-accumulates that goes.
        rectified: whether a Relu makes the value, which the decoder then ends in too.
    """

    value: str
    shape: tuple[int, ...]
    source: str
    source_shape: tuple[int, ...]
    replaced: float
    rectified: bool

    @property
    def positions(self) -> int:
        """How many vectors of channels the latent has."""
        return math.prod(self.shape[2:])


def places(model: ir.Model) -> tuple[Place, ...]:
    """Every place for a bottleneck, in order.

    It replaces all from the only input of the model to a single float value with channels and positions, so that the
    latent has positions of its own; layers that change the number of axes or enlarge the picture are no such place.

    Args:
        model: with static shapes.
    """
    inputs = model_inputs(model)
    source = static_shape(inputs[0]) if len(inputs) == 1 else None
    if source is None or len(source) < _FEWEST_AXES or source[0] != 1:
        return ()
    made = {str(value.name): value for node in model.graph for value in node.outputs}
    found = []
    for point in cut_points(model, most_values=1):
        value = made.get(point.values[0])
        shape = static_shape(value)
        if value is None or shape is None or value.dtype != ir.DataType.FLOAT or len(shape) != len(source):
            continue
        shrinks = all(extent <= given for extent, given in zip(shape[2:], source[2:], strict=True))
        if shape[0] != 1 or not shrinks or math.prod(shape[2:]) == 1 or not point.head_macs or not point.tail_macs:
            continue
        share = point.head_macs / (point.head_macs + point.tail_macs)
        producer = value.producer()
        rectified = producer is not None and producer.op_type == "Relu"
        found.append(Place(point.values[0], shape, str(inputs[0].name), source, share, rectified))
    return tuple(found)


def chosen_place(model: ir.Model, wanted: str) -> Place:
    """The place of a name, or the best one.

    Where there is a choice, at most half of the work is replaced, because a small encoder imitates no more than the
    first layers; among those the fewest positions travel, and among equals the first behind a Relu, which is easiest to
    imitate: what the Relu takes away need not be sent.

    Raises:
        EdgecError: EC1206 where there is no place, or not that one.
    """
    known = places(model)
    if wanted:
        for place in known:
            if place.value == wanted:
                return place
        hint = f"it can stand at {', '.join(place.value for place in known)}" if known else NO_CUT.remedy
        raise EdgecError(NO_CUT, f"no bottleneck can stand at `{wanted}`", where="insert-bottleneck", hint=hint)
    if not known:
        what = "the model has one input and a convolutional part that a single tensor ends nowhere"
        raise EdgecError(NO_CUT, what, where="insert-bottleneck", hint=NO_CUT.remedy)
    light = [place for place in known if place.replaced <= _MOST_REPLACED] or [known[0]]
    return min(light, key=lambda place: (place.positions, not place.rectified))
