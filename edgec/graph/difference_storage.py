"""Which weights differ, in as few bits as one of three forms needs: a bitmap, a list of places, or a Rice code.

The Rice code is of the gaps between places: a gap g is g >> k ones, a zero, and the k lowest bits of g. It comes within
a few hundredths of a bit of the entropy where differences lie at random (Rice, "Some Practical Universal Noiseless
Coding Techniques", 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_FORM_BITS = 2
_PARAMETER_BITS = 4
"""Of a Rice code: k is 0 to 15."""

Bits = NDArray[np.uint8]


class Form(IntEnum):
    """How the places are stored."""

    BITMAP = 0
    LIST = 1
    RICE = 2


@dataclass(frozen=True, eq=False)
class StoredDifferences:
    """The places of one channel.

    Attributes:
        form: which of the three.
        bits: uint8 of 0 and 1: the form, and what it needs.
    """

    form: Form
    bits: Bits


def store(different: NDArray[np.bool_]) -> StoredDifferences:
    """The smallest of the three forms.

    Args:
        different: bool [N].
    """
    width = len(different)
    places = np.flatnonzero(different)
    gaps = np.diff(places, prepend=-1) - 1
    sizes = [int(gaps.size * (k + 1) + (gaps >> k).sum()) + _PARAMETER_BITS for k in range(2**_PARAMETER_BITS)]
    parameter = int(np.argmin(sizes))
    count = _number(len(places), width.bit_length())
    each = _place_bits(width)
    options = (width, len(count) + len(places) * each, len(count) + sizes[parameter])
    form = Form(int(np.argmin(options)))
    match form:
        case Form.BITMAP:
            body = different.astype(np.uint8)
        case Form.LIST:
            body = np.concatenate([count, *(_number(int(place), each) for place in places)])
        case Form.RICE:
            codes = [_rice(int(gap), parameter) for gap in gaps]
            body = np.concatenate([count, _number(parameter, _PARAMETER_BITS), *codes])
    return StoredDifferences(form, np.concatenate([_number(form, _FORM_BITS), body]))


def restore(bits: Bits, width: int) -> NDArray[np.bool_]:
    """The places bool [N] that `store` was given.

    Args:
        bits: as stored.
        width: N.
    """
    form, at = Form(_value(bits[:_FORM_BITS])), _FORM_BITS
    if form is Form.BITMAP:
        return bits[at : at + width].astype(bool)
    different = np.zeros(width, bool)
    count = _value(bits[at : at + width.bit_length()])
    at += width.bit_length()
    if form is Form.LIST:
        each = _place_bits(width)
        rows = bits[at : at + count * each].reshape(count, each)
        different[[_value(row) for row in rows]] = True
        return different
    parameter = _value(bits[at : at + _PARAMETER_BITS])
    at += _PARAMETER_BITS
    place = -1
    for _ in range(count):
        ones = int(np.argmin(bits[at:]))
        at += ones + 1
        place += 1 + (ones << parameter | _value(bits[at : at + parameter]))
        at += parameter
        different[place] = True
    return different


def _place_bits(width: int) -> int:
    return max(1, (width - 1).bit_length())


def _rice(gap: int, parameter: int) -> Bits:
    tail = _number(gap & ((1 << parameter) - 1), parameter)
    return np.concatenate([np.ones(gap >> parameter, np.uint8), np.zeros(1, np.uint8), tail])


def _number(value: int, width: int) -> Bits:
    """An unsigned number, highest bit first."""
    return np.array([value >> place & 1 for place in reversed(range(width))], np.uint8)


def _value(bits: Bits) -> int:
    return int("".join("1" if bit else "0" for bit in bits) or "0", 2)
