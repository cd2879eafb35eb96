"""The geometry of sliding windows: extents, padding and rounding of the output size, per spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError


@dataclass(frozen=True)
class WindowAxis:
    """A sliding window along one axis.

    Attributes:
        extent: of the input.
        kernel: taps of the window.
        stride: distance of neighbouring windows.
        dilation: distance of neighbouring taps.
        before: padding in front of the first element.
        after: padding behind the last element, as the model states it.
        output: number of windows.
    """

    extent: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    output: int

    @property
    def reach(self) -> int:
        """Elements from the first tap of a window to its last one."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """Extent of the input that the windows touch, padding included."""
        return max((self.output - 1) * self.stride + self.reach, self.before + self.extent)

    def taps_inside(self, window: int, *, count_padding: bool) -> int:
        """How many taps of a window lie in the input, or in the input and its stated padding."""
        low, high = (
            (0, self.before + self.extent + self.after) if count_padding else (self.before, self.before + self.extent)
        )
        taps = (window * self.stride + tap * self.dilation for tap in range(self.kernel))
        return sum(low <= tap < high for tap in taps)


def window_axes(node: ir.Node, extents: Sequence[int], kernel: Sequence[int]) -> tuple[WindowAxis, ...]:
    """The windows of a pooling node over spatial axes of some extents.

    Raises:
        UnsupportedNodeError: the window is larger than the padded input.
    """
    rank = len(extents)
    strides = node.attributes.get_ints("strides", (1,) * rank)
    dilations = node.attributes.get_ints("dilations", (1,) * rank)
    pads = node.attributes.get_ints("pads", (0,) * (2 * rank))
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    rounds_up = bool(node.attributes.get_int("ceil_mode", 0))
    return tuple(
        _axis(
            extents[axis],
            kernel[axis],
            strides[axis],
            dilations[axis],
            (pads[axis], pads[rank + axis]),
            automatic,
            rounds_up,
        )
        for axis in range(rank)
    )


def _axis(
    extent: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], automatic: str, rounds_up: bool
) -> WindowAxis:
    reach = (kernel - 1) * dilation + 1
    before, after = pads if automatic in ("NOTSET", "") else (0, 0)
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        output = -(-extent // stride)
        total = max((output - 1) * stride + reach - extent, 0)
        before = total // 2 if automatic == "SAME_UPPER" else total - total // 2
        return WindowAxis(extent, kernel, stride, dilation, before, total - before, output)
    room = extent + before + after - reach
    if room < 0:
        raise UnsupportedNodeError(
            f"its window of {reach} elements is larger than its padded input of {extent + before + after}",
            "use a larger input; see --shape",
        )
    output = room // stride + 1
    if rounds_up and room % stride:
        output += 1
        if (output - 1) * stride >= extent + before:
            output -= 1
    return WindowAxis(extent, kernel, stride, dilation, before, after, output)
