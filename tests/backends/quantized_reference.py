"""What quantized operators compute, in numpy: exact int32 sums, one rounding to float32, halves to even."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Scheme:
    """(integer - zero point) · scale."""

    scale: float
    zero_point: int
    dtype: str

    def quantize(self, numbers: Array) -> Array:
        limits = np.iinfo(self.dtype)
        steps = np.rint(numbers.astype(np.float32) / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, integers: Array) -> Array:
        return ((integers.astype(np.int32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)


def requantize(sums: Array, factor: Array, result: Scheme) -> Array:
    """int32 sums, the channels last, to a quantized output."""
    limits = np.iinfo(result.dtype)
    rounded = np.rint(sums.astype(np.int32).astype(np.float32) * factor.astype(np.float32))
    return np.clip(rounded + result.zero_point, limits.min, limits.max).astype(result.dtype)


def factor_of(x: Scheme, weights_scale: Array, result: Scheme) -> Array:
    """Scale of the sums over scale of the output, in the order in which ONNX Runtime computes it."""
    return np.float32(x.scale) * weights_scale.astype(np.float32) / np.float32(result.scale)


def convolution_sums(
    x: Array,
    weights: Array,
    *,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    groups: int,
    dilations: tuple[int, int] = (1, 1),
) -> Array:
    """Sums of a 2-d convolution of centred integers, (batch, outputs, height, width)."""
    top, left, bottom, right = pads
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, inputs, height, width = weights.shape
    reach = [(taps - 1) * dilation + 1 for taps, dilation in zip((height, width), dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    share = outputs // groups
    parts = [
        np.einsum(
            "nchwij,ocij->nohw",
            windows[:, group * inputs : (group + 1) * inputs],
            weights[group * share : (group + 1) * share].astype(np.int64),
        )
        for group in range(groups)
    ]
    return np.concatenate(parts, axis=1)
