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

_KERNEL = 3


def insert_projection(model: ir.Model, place: Place, features: Sequence[np.ndarray], channels: int) -> Layers:
    """Send the principal components of a value's channels and take them back, in place; training goes on from there.

    Args:
        model: with static shapes, whose input is the value that the place copies.
        place: of the bottleneck.
        features: what the value is for some samples, each [1, channels, positions...].
        channels: of the latent.

    Raises:
        EdgecError: EC1206 for more channels than the value has.
    """
    known = place.shape[1]
    if channels > known:
        what = f"a latent of {channels} channels cannot stand for the {known} of `{place.source}`"
        raise EdgecError(NO_CUT, what, where="insert-bottleneck", hint=f"channels = {known} or fewer")
    numbers = np.moveaxis(np.concatenate(features).astype(np.float64), 1, 0).reshape(known, -1)
    mean = numbers.mean(1)
    # Eigenvectors come by rising variance.
    components = np.linalg.eigh(np.cov(numbers))[1].T[::-1][:channels]
    writer = NodeWriter(model, Names(model), "bottleneck")
    copied = next(output for node in model.graph for output in node.outputs if output.name == place.value)
    axes = len(place.shape) - 2
    latent = _convolution(writer, model.graph.inputs[0], components, -components @ mean, axes)
    made = _convolution(writer, latent, components.T, mean, axes)
    encoder, decoder = (str(node.name) for node in writer.nodes)
    if place.rectified:
        made = writer.one("Relu", made)
    model.graph.insert_before(model.graph[0], writer.nodes)
    for node, index in copied.uses():
        node.replace_input_with(index, made)
    remove_dead_code(model)
    infer_shapes(model)
    return Layers(str(latent.name), str(made.name), (encoder,), (decoder,))


def _convolution(writer: NodeWriter, value: ir.Value, matrix: np.ndarray, bias: np.ndarray, axes: int) -> ir.Value:
    """A matrix between channels, as the middle of a kernel whose neighbours are yet to be learnt."""
    weight = np.zeros((*matrix.shape, *[_KERNEL] * axes), np.float32)
    weight.reshape(*matrix.shape, -1)[..., _KERNEL**axes // 2] = matrix
    operands = (writer.constant("weight", weight), writer.constant("bias", bias.astype(np.float32)))
    pads = [_KERNEL // 2] * 2 * axes
    return writer.one("Conv", value, *operands, kernel_shape=[_KERNEL] * axes, strides=[1] * axes, pads=pads)
