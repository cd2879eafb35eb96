"""An encoder and a decoder of one convolution each, for a bottleneck behind layers that stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.codes.split import NO_CUT
from edgec.core.errors import EdgecError
from edgec.graph.editing import Names
from edgec.graph.shapes import infer_shapes
from edgec.passes.insert_bottleneck_cut import Place
from edgec.passes.insert_bottleneck_layers import Layers
from edgec.passes.node_writer import NodeWriter
from edgec.passes.remove_dead_code import remove_dead_code

_PICTURE_AXES = 2


def insert_projection(
    model: ir.Model, place: Place, features: Sequence[np.ndarray], channels: int, stride: int
) -> Layers:
    """Send the principal components of a value's channels and take them back, in place; training goes on from there.

    With a stride, the components are those of the channels of a square of positions.

    Args:
        model: with static shapes, whose input is the value that the place copies.
        place: of the bottleneck.
        features: what the value is for some samples, each [1, channels, positions...].
        channels: of the latent.
        stride: positions, in each direction, that one of the latent stands for.

    Raises:
        EdgecError: EC1206 for more channels than the value has, or a stride that its positions cannot have.
    """
    known = place.shape[1] * stride ** len(place.shape[2:])
    _check(place, known, channels, stride)
    numbers = _squares(np.concatenate(features).astype(np.float64), stride).reshape(known, -1)
    mean = numbers.mean(1)
    # Eigenvectors come by rising variance.
    components = np.linalg.eigh(np.cov(numbers))[1].T[::-1][:channels]
    writer = NodeWriter(model, Names(model), "bottleneck")
    copied = next(output for node in model.graph for output in node.outputs if output.name == place.value)
    axes = len(place.shape) - 2
    taken = components.reshape(channels, place.shape[1], *[stride] * axes)
    latent = _convolution(writer, model.graph.inputs[0], taken, -components @ mean)
    given = components.T.reshape(known, channels, *[1] * axes)
    made = _convolution(writer, latent, given, mean)
    encoder, decoder = (str(node.name) for node in writer.nodes)
    if stride > 1:
        made = writer.one("DepthToSpace", made, blocksize=stride, mode="CRD")
    if place.rectified:
        made = writer.one("Relu", made)
    model.graph.insert_before(model.graph[0], writer.nodes)
    for node, index in copied.uses():
        node.replace_input_with(index, made)
    remove_dead_code(model)
    infer_shapes(model)
    return Layers(str(latent.name), str(made.name), (encoder,), (decoder,))


def _check(place: Place, known: int, channels: int, stride: int) -> None:
    positions = place.shape[2:]
    if channels > known:
        what = f"a latent of {channels} channels cannot stand for the {known} of `{place.source}`"
        raise EdgecError(NO_CUT, what, where="insert-bottleneck", hint=f"channels = {known} or fewer")
    if stride > 1 and (len(positions) != _PICTURE_AXES or any(extent % stride for extent in positions)):
        extents = "×".join(map(str, positions))
        what = f"a latent cannot have one position for each {stride} in both directions of `{place.source}`, {extents}"
        raise EdgecError(NO_CUT, what, where="insert-bottleneck", hint="stride = 1, or a cut of a picture it divides")


def _squares(features: np.ndarray, stride: int) -> np.ndarray:
    """Features [samples, channels, positions...] as [channels, squares of positions..., samples, squares]."""
    samples, channels, *extents = features.shape
    axes = range(len(extents))
    split = features.reshape(samples, channels, *(size for extent in extents for size in (extent // stride, stride)))
    return split.transpose(1, *(3 + 2 * axis for axis in axes), 0, *(2 + 2 * axis for axis in axes))


def _convolution(writer: NodeWriter, value: ir.Value, middle: np.ndarray, bias: np.ndarray) -> ir.Value:
    """A convolution in whose kernels a border of one, yet to be learnt, stands around a middle as wide as its stride.

    Args:
        writer: of the nodes.
        value: [1, input channels, positions...].
        middle: [output channels, input channels, stride...].
        bias: [output channels].
    """
    extents = middle.shape[2:]
    weight = np.pad(middle, [(0, 0), (0, 0), *[(1, 1)] * len(extents)]).astype(np.float32)
    operands = (writer.constant("weight", weight), writer.constant("bias", bias.astype(np.float32)))
    geometry = {"kernel_shape": list(weight.shape[2:]), "strides": list(extents), "pads": [1] * 2 * len(extents)}
    return writer.one("Conv", value, *operands, **geometry)
