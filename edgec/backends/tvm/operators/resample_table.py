"""Where each position along a resized axis reads from, and with what weights: computed at compile time.

Source: the specification of ONNX Resize; Keys, "Cubic convolution interpolation for digital image processing", 1981.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.backends.tvm.kernel_graph import UnsupportedNodeError


@dataclass(frozen=True)
class ResizedAxis:
    """One axis of a Resize.

    Attributes:
        extent: of the input.
        output: extent of the output.
        scale: output over input, as the model states it; decides the coordinates even where the output is rounded.
        start, end: region of interest, 0 to 1 for the whole axis.
    """

    extent: int
    output: int
    scale: float
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class ResampleTable:
    """Taps of each output position.

    Attributes:
        indices: int32 [output, taps], all inside the axis.
        weights: float64 [output, taps].
        outside: bool [output], positions that get the extrapolation value.
    """

    indices: np.ndarray
    weights: np.ndarray
    outside: np.ndarray


def coordinates(axis: ResizedAxis, mode: str) -> np.ndarray:
    """The position in the input, a float, of each position of the output.

    Raises:
        UnsupportedNodeError: the coordinate transformation is unknown.
    """
    y = np.arange(axis.output, dtype=np.float64)
    length = axis.scale * axis.extent
    half = (y + 0.5) / axis.scale - 0.5
    if mode == "align_corners":
        return np.zeros_like(y) if length == 1 else y * (axis.extent - 1) / (length - 1)
    if mode == "asymmetric":
        return y / axis.scale
    if mode == "half_pixel":
        return half
    if mode == "pytorch_half_pixel":
        return np.full_like(y, -0.5) if axis.output == 1 else half
    if mode == "tf_half_pixel_for_nn":
        return (y + 0.5) / axis.scale
    if mode == "half_pixel_symmetric":
        return axis.extent / 2 * (1 - axis.output / length) + half
    if mode == "tf_crop_and_resize":
        span = (axis.end - axis.start) * (axis.extent - 1)
        steps = np.full_like(y, span / 2) if axis.output == 1 else y * span / (axis.output - 1)
        return axis.start * (axis.extent - 1) + steps
    raise UnsupportedNodeError(f"its coordinate transformation {mode} is unknown", "use half_pixel or asymmetric")


def nearest_table(axis: ResizedAxis, mode: str, rounding: str) -> ResampleTable:
    """One tap: the nearest element, with halves rounded as `rounding` says."""
    x = coordinates(axis, mode)
    rounded = {
        "round_prefer_floor": np.ceil(x - 0.5),
        "round_prefer_ceil": np.floor(x + 0.5),
        "floor": np.floor(x),
        "ceil": np.ceil(x),
    }.get(rounding)
    if rounded is None:
        raise UnsupportedNodeError(f"its rounding {rounding} is unknown", "use round_prefer_floor or floor")
    indices = np.clip(rounded, 0, axis.extent - 1).astype(np.int32).reshape(-1, 1)
    return ResampleTable(indices, np.ones(indices.shape), _outside(axis, x, mode))


def _outside(axis: ResizedAxis, x: np.ndarray, mode: str) -> np.ndarray:
    if mode != "tf_crop_and_resize":
        return np.zeros(x.shape, np.bool_)
    return np.asarray((x < 0) | (x > axis.extent - 1))


def _cubic_weight(distance: np.ndarray, a: float) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def interpolating_table(
    axis: ResizedAxis, mode: str, *, cubic: float | None, antialias: bool, excludes_outside: bool
) -> ResampleTable:
    """Linear taps, or cubic ones with the given coefficient; wider when shrinking with antialiasing."""
    x = coordinates(axis, mode)
    stretch = min(axis.scale, 1.0) if antialias else 1.0
    reach = 2.0 if cubic is not None else 1.0
    first = int(np.floor(-reach / stretch)) + 1
    taps = np.arange(first, 2 - first if cubic is not None or antialias else 2)
    whole = np.floor(x)
    positions = whole[:, None] + taps[None, :]
    distance = (positions - x[:, None]) * stretch
    weights = _cubic_weight(distance, cubic) if cubic is not None else np.clip(1 - np.abs(distance), 0, 1)
    if antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    if excludes_outside:
        weights = np.where((positions < 0) | (positions >= axis.extent), 0.0, weights)
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
    indices = np.clip(positions, 0, axis.extent - 1).astype(np.int32)
    used = np.any(weights != 0, axis=0)
    return ResampleTable(indices[:, used], weights[:, used], _outside(axis, x, mode))
