"""Padding of windows: ONNX's lists and automatic modes as torch's arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from edgec.training.graph_writer import NoTorchFormError


@dataclass(frozen=True)
class Window:
    """A sliding window.

    Attributes:
        kernel, strides, dilations: one number for each spatial axis.
        before, after: padding in front of and behind each spatial axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        """Whether both sides are padded alike."""
        return self.before == self.after

    @property
    def torch_pad(self) -> list[int]:
        """The padding as `torch.nn.functional.pad` takes it: last axis first."""
        return torch_order(self.before, self.after)


def torch_order(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    """Padding of each axis as `torch.nn.functional.pad` takes it: last axis first, trailing zeros left out."""
    pairs = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    while len(pairs) > 2 and pairs[-2:] == [0, 0]:
        pairs = pairs[:-2]
    return pairs


def window_of(node: ir.Node, kernel: tuple[int, ...]) -> Window:
    """The window of a convolution or pooling.

    Raises:
        NoTorchFormError: automatic padding where the extents of the input are open.
    """
    axes = len(kernel)
    strides = tuple(node.attributes.get_ints("strides", [1] * axes))
    dilations = tuple(node.attributes.get_ints("dilations", [1] * axes))
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in {"NOTSET", "VALID"}:
        pads = tuple(node.attributes.get_ints("pads", [0] * 2 * axes)) if mode == "NOTSET" else (0,) * (2 * axes)
        return Window(kernel, strides, dilations, pads[:axes], pads[axes:])
    totals = [
        max((math.ceil(extent / stride) - 1) * stride + (size - 1) * dilation + 1 - extent, 0)
        for extent, stride, size, dilation in zip(_extents(node), strides, kernel, dilations, strict=True)
    ]
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    return Window(kernel, strides, dilations, before, after)


def _extents(node: ir.Node) -> list[int]:
    value = node.inputs[0]
    extents = [extent for extent in value.shape if isinstance(extent, int)] if value and value.shape else []
    if value is None or value.shape is None or any(not isinstance(extent, int) for extent in list(value.shape)[2:]):
        raise NoTorchFormError("its padding depends on extents that are open")
    return extents[-(len(value.shape) - 2) :]
