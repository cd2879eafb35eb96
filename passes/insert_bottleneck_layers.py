"""The layers of a bottleneck, put into a network in the place of its first layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.editing import Names
from edgec.graph.shapes import infer_shapes
from edgec.passes.insert_bottleneck_cut import Place
from edgec.passes.node_writer import NodeWriter
from edgec.passes.remove_dead_code import remove_dead_code

_FIRST_KERNEL, _KERNEL = 5, 3


@dataclass(frozen=True)
class Widths:
    """How wide the layers are.

    Attributes:
        encoder: channels of the layers before the latent.
        latent: channels of the latent.
        decoder: channels of the layers behind it; 0 for twice those of the value that is imitated.
    """

    encoder: int
    latent: int
    decoder: int


@dataclass(frozen=True)
class Layers:
    """What was put in.

    Attributes:
        latent: name of the value between encoder and decoder.
        made: name of the value that stands for the imitated one.
        encoder: names of the convolutions before the latent; the last one makes it.
        decoder: names of those behind it.
    """

    latent: str
    made: str
    encoder: tuple[str, ...]
    decoder: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class InputScale:
    """Mean and deviation of the channels of an input, float32 [channels]."""

    mean: np.ndarray
    deviation: np.ndarray

    @property
    def is_needed(self) -> bool:
        """Whether the numbers are far from those that random layers begin with."""
        within = (self.deviation > 1 / 3) & (self.deviation < 3) & (np.abs(self.mean) < self.deviation)
        return not bool(np.all(within))


def insert_layers(model: ir.Model, place: Place, widths: Widths, scale: InputScale, seed: int) -> Layers:
    """Replace what makes a value by an encoder and a decoder with random weights, in place.

    The encoder has one convolution of stride 2 for each halving of the picture, and at least two convolutions; the
    decoder has three, the first of which brings the latent to the extents of the imitated value.

    Args:
        model: with static shapes.
        place: what is replaced.
        widths: channels of the layers.
        scale: of the numbers that the encoder is given.
        seed: of the weights.
    """
    writer = _LayerWriter(model, np.random.default_rng(seed), len(place.shape) - 2)
    imitated = next(output for node in model.graph for output in node.outputs if output.name == place.value)
    source = next(value for value in model.graph.inputs if value.name == place.source)
    latent, extents = writer.encoder(writer.scaled(source, scale), place, widths)
    encoder = writer.take_convolutions()
    made = writer.decoder(latent, extents, place, widths)
    model.graph.insert_before(model.graph[0], writer.nodes)
    for node, index in imitated.uses():
        node.replace_input_with(index, made)
    remove_dead_code(model)
    infer_shapes(model)
    return Layers(str(latent.name), str(made.name), encoder, writer.take_convolutions())


class _LayerWriter:
    def __init__(self, model: ir.Model, random: np.random.Generator, axes: int) -> None:
        self._writer = NodeWriter(model, Names(model), "bottleneck")
        self._random, self._axes = random, axes
        self._convolutions: list[str] = []

    @property
    def nodes(self) -> list[ir.Node]:
        return self._writer.nodes

    def take_convolutions(self) -> tuple[str, ...]:
        """The names of the convolutions since it was asked last."""
        names = tuple(self._convolutions)
        self._convolutions.clear()
        return names

    def scaled(self, source: ir.Value, scale: InputScale) -> ir.Value:
        value = source
        if source.dtype != ir.DataType.FLOAT:
            value = self._writer.one("Cast", value, to=int(ir.DataType.FLOAT))
        if not scale.is_needed:
            return value
        shape = (1, -1, *[1] * self._axes)
        factor = 1 / np.maximum(scale.deviation, 1e-6)
        value = self._writer.one("Sub", value, self._constant("mean", scale.mean.reshape(shape)))
        return self._writer.one("Mul", value, self._constant("factor", factor.reshape(shape)))

    def encoder(self, value: ir.Value, place: Place, widths: Widths) -> tuple[ir.Value, tuple[int, ...]]:
        extents, channels = place.source_shape[2:], place.source_shape[1]
        halvings = [round(math.log2(given / wanted)) for given, wanted in zip(extents, place.shape[2:], strict=True)]
        count = max(2, *halvings)
        for layer in range(count):
            strides = [2 if layer < number else 1 for number in halvings]
            kernel = _FIRST_KERNEL if layer == 0 else _KERNEL
            is_last = layer == count - 1
            out = widths.latent if is_last else widths.encoder
            value = self._convolution(
                value, channels, out, [kernel] * self._axes, strides, [kernel // 2] * 2 * self._axes
            )
            value = value if is_last else self._writer.one("Relu", value)
            channels = out
            extents = tuple(math.ceil(extent / stride) for extent, stride in zip(extents, strides, strict=True))
        return value, extents

    def decoder(self, value: ir.Value, extents: tuple[int, ...], place: Place, widths: Widths) -> ir.Value:
        wanted, channels = place.shape[2:], place.shape[1]
        width = widths.decoder or 2 * channels
        # The first layer loses or gains the rows by which halving misses the extents of the imitated value.
        gains = [goal - extent for goal, extent in zip(wanted, extents, strict=True)]
        kernel = [max(_KERNEL, 1 - gain) for gain in gains]
        around = [gain + size - 1 for gain, size in zip(gains, kernel, strict=True)]
        pads = [total // 2 for total in around] + [total - total // 2 for total in around]
        value = self._convolution(value, widths.latent, width, kernel, [1] * self._axes, pads)
        for inputs in (width, channels):
            value = self._writer.one("Relu", value)
            same = [_KERNEL // 2] * 2 * self._axes
            value = self._convolution(value, inputs, channels, [_KERNEL] * self._axes, [1] * self._axes, same)
        return self._writer.one("Relu", value) if place.rectified else value

    def _convolution(
        self, value: ir.Value, channels: int, out: int, kernel: list[int], strides: list[int], pads: list[int]
    ) -> ir.Value:
        fan_in = channels * math.prod(kernel)
        weights = self._random.standard_normal((out, channels, *kernel)) * math.sqrt(2 / fan_in)
        operands = (self._constant("weight", weights), self._constant("bias", np.zeros(out)))
        made = self._writer.one("Conv", value, *operands, kernel_shape=kernel, strides=strides, pads=pads)
        self._convolutions.append(str(self.nodes[-1].name))
        return made

    def _constant(self, role: str, contents: np.ndarray) -> ir.Value:
        return self._writer.constant(role, np.asarray(contents, np.float32))
