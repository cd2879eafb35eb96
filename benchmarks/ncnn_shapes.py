"""Shapes of the tensors of an ncnn network, where its `.param` file does not state them."""

from __future__ import annotations

import math
from dataclasses import dataclass

STATED = "-23330"
AS_WIDE_AS_INPUT = (-233, -234)
Shape = tuple[int, int, int]
"""Width, height, channels."""


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Layer:
        """Read a line: kind, name, counts, names of inputs and outputs, options."""
        kind, _, inputs, outputs, *rest = line.split()
        first, names = int(inputs), int(inputs) + int(outputs)
        options = dict(option.split("=", 1) for option in rest[names:])
        return cls(kind, tuple(rest[:first]), tuple(rest[first:names]), options)

    def option(self, key: int, default: int = 0) -> int:
        """An integer option by its number."""
        return int(float(self.options.get(str(key), default)))

    def pair(self, key: int, default: int) -> tuple[int, int]:
        """An option along the width, and along the height: ten more, and the same where it is not stated."""
        width = self.option(key, default)
        return width, self.option(key + 10, width)


def output_shapes(layer: Layer, inputs: list[Shape], image: int) -> list[Shape]:
    """The shape of each output: as stated, or worked out from the inputs.

    Args:
        layer: the layer.
        inputs: the shapes of its inputs.
        image: width and height of the network's input, where the file does not state them.
    """
    if STATED in layer.options:
        numbers = [max(int(number), 1) for number in layer.options[STATED].split(",")][1:]
        return [(numbers[at + 1], numbers[at + 2], numbers[at + 3]) for at in range(0, len(numbers), 4)]
    if layer.kind == "Input":
        return [(image, image, 3)]
    rule = _RULES.get(layer.kind)
    return [inputs[0]] * len(layer.outputs) if rule is None else [rule(layer, inputs)] * len(layer.outputs)


def _convolution(layer: Layer, inputs: list[Shape]) -> Shape:
    extents = []
    for axis in (0, 1):
        size, dilation, stride = (layer.pair(key, 1)[axis] for key in (1, 2, 3))
        before = layer.pair(4, 0)[axis]
        after = layer.option(15 + axis, before)
        if before in AS_WIDE_AS_INPUT:
            extents.append(math.ceil(inputs[0][axis] / stride))
        else:
            extents.append((inputs[0][axis] + before + after - dilation * (size - 1) - 1) // stride + 1)
    return extents[0], extents[1], layer.option(0)


def _pooling(layer: Layer, inputs: list[Shape]) -> Shape:
    width, height, channels = inputs[0]
    if layer.option(4):
        return 1, 1, channels
    size, stride, border = layer.option(1), layer.option(2, 1), layer.option(3)
    rounded = math.ceil if layer.option(5) == 0 else math.floor
    extents = [int(rounded((extent + 2 * border - size) / stride)) + 1 for extent in (width, height)]
    return extents[0], extents[1], channels


def _padding(layer: Layer, inputs: list[Shape]) -> Shape:
    top, bottom, left, right = (layer.option(key) for key in range(4))
    front, behind = max(0, layer.option(7)), max(0, layer.option(8))
    width, height, channels = inputs[0]
    return width + left + right, height + top + bottom, channels + front + behind


def _concatenation(layer: Layer, inputs: list[Shape]) -> Shape:
    width, height, _ = inputs[0]
    if layer.option(0) == 0 and width * height > 1:
        return width, height, sum(shape[2] for shape in inputs)
    return sum(math.prod(shape) for shape in inputs), 1, 1


def _resizing(layer: Layer, inputs: list[Shape]) -> Shape:
    width, height, channels = inputs[0]
    return int(width * float(layer.options["2"])), int(height * float(layer.options["1"])), channels


def _halves(layer: Layer, inputs: list[Shape]) -> Shape:
    width, height, channels = inputs[0]
    return width, height, channels // len(layer.outputs)


def _boxes(layer: Layer, inputs: list[Shape]) -> Shape:
    del layer, inputs
    return 1, 1, 1


_RULES = {
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Pooling": _pooling,
    "Padding": _padding,
    "Concat": _concatenation,
    "Interp": _resizing,
    "Slice": _halves,
    "PriorBox": _boxes,
    "DetectionOutput": _boxes,
    "YoloDetectionOutput": _boxes,
    "Yolov3DetectionOutput": _boxes,
}
