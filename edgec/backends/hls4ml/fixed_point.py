"""Fixed-point types that hold given integers on given grids exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgec.backends.rtl.integer_graph import Interval, bits_of
from edgec.backends.rtl.wires import UnsupportedError

_WIDEST = 53
"""The simulation hands values over as double, which holds 53 bits."""


@dataclass(frozen=True)
class FixedType:
    """`ap_fixed<width, integer>` and its relatives.

    Attributes:
        width: bits in all.
        integer: bits left of the binary point, the sign's included; may be negative or more than `width`.
        signed: whether one bit is the sign.
        rounding: what an assignment does with bits that do not fit on the right: `TRN` cuts, `RND_CONV` rounds half to
            even.
        saturation: and on the left: `WRAP`, `SAT`, or `SAT_SYM`, which also leaves out the lowest integer.
    """

    width: int
    integer: int
    signed: bool
    rounding: str = "TRN"
    saturation: str = "WRAP"

    def __str__(self) -> str:
        """As hls4ml spells it."""
        sign = "" if self.signed else "u"
        return f"{sign}fixed<{self.width},{self.integer},{self.rounding},{self.saturation}>"


def type_of(interval: Interval, scale: NDArray[np.float64]) -> FixedType:
    """The narrowest type of every element.

    Args:
        interval: of the integers [N].
        scale: [N] or [1]; the real values are integers times scale.

    Raises:
        UnsupportedError: for scales that are no powers of two, and values of more than 53 bits.
    """
    exponents = exponents_of(scale)
    finest = int(exponents.min())
    factors = 2.0 ** (exponents - finest)
    low, high = float((interval.low * factors).min()), float((interval.high * factors).max())
    width = bits_of(int(low), int(high))
    if width > _WIDEST:
        raise UnsupportedError(f"its values take {width} bits", f"quantise so that {_WIDEST} are enough")
    return FixedType(width, width + finest, low < 0)


def quantiser_type(low: int, high: int, scale: float, *, half_even: bool) -> FixedType:
    """The type whose assignment is a quantiser: `clamp(round(x / scale), low, high) * scale`.

    Raises:
        UnsupportedError: where no type has these limits.
    """
    exponent = int(exponents_of(np.array([scale]))[0])
    width = bits_of(low, high)
    saturation = {-(1 << (width - 1)): "SAT", -(1 << (width - 1)) + 1: "SAT_SYM", 0: "SAT"}.get(low)
    full = (1 << width) - 1 if low >= 0 else (1 << (width - 1)) - 1
    if saturation is None or high != full:
        raise UnsupportedError(
            f"its integers reach from {low} to {high}, and fixed-point types saturate at powers of two",
            "quantise with zero points of 0 and the whole range of the bits",
        )
    return FixedType(width, width + exponent, low < 0, "RND_CONV" if half_even else "TRN", saturation)


def exponents_of(scale: NDArray[np.float64]) -> NDArray[np.int64]:
    """The binary logarithm of each scale.

    Raises:
        UnsupportedError: where a scale is no power of two.
    """
    mantissas, exponents = np.frexp(scale)
    if (mantissas != 0.5).any():
        raise UnsupportedError(
            "its scale is no power of two, and fixed-point types have no others", "quantise with power_of_two = true"
        )
    return exponents.astype(np.int64) - 1
