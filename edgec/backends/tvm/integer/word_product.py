"""Convolutions in words of four bytes, for graphics processors that multiply and add four bytes in one instruction.

Neighbouring input channels make a word. Words and their products are functions that TVM does not know; the source of
the device defines them.
"""

from __future__ import annotations

import math

from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor
from edgec.backends.tvm.stages import Role, role_attributes

WORD = "edgec_word"
"""Function of four bytes: them as an int32, the first the lowest."""
DOT = {"int8": "edgec_dot_signed", "uint8": "edgec_dot_unsigned"}
"""Functions of two words and an int32: the sum of their products added to it. The key is the type of the first word's
bytes; those of the second are int8."""
BYTES = 4


def words_of_channels(x: Tensor) -> Tensor:
    """Words of neighbouring channels, shape (batch, spatial…, words); bytes beyond the last channel are zero.

    Args:
        x: (batch, spatial…, channels) of eight bits.
    """
    channels = int(x.shape[-1])

    def element(*indices: Expression) -> Expression:
        *places, word = indices
        found = []
        for byte in range(BYTES):
            channel = word * BYTES + byte
            value = x(*places, channel)
            if channels % BYTES:
                value = tirx.if_then_else(channel < channels, value, tirx.const(0, str(x.dtype)))
            found.append(value)
        return _word(found)

    shape = (*x.shape[:-1], math.ceil(channels / BYTES))
    return te.compute(shape, element, name="words", attrs=role_attributes(Role.PADDING))


def words_of_steps(packed: Tensor) -> Tensor:
    """Weights of `pack_steps`, int8 in steps of four, as words of shape (blocks, window…, steps, block)."""

    def element(*indices: Expression) -> Expression:
        return _word([packed(*indices, byte) for byte in range(BYTES)])

    return te.compute(packed.shape[:-1], element, name="packed", attrs=role_attributes(Role.PACKING))


def repeated(byte: int) -> int:
    """A word of four equal bytes, given as a number of eight bits with or without sign."""
    return int.from_bytes(bytes([byte & 255] * BYTES), "little", signed=True)


def dot(left: Expression, right: Expression, dtype: str) -> Expression:
    """The sum of products of two words' bytes, those of the first of type `dtype`."""
    return tirx.call_pure_extern("int32", DOT[dtype], left, right, tirx.const(0, "int32"))


def _word(values: list[Expression]) -> Expression:
    return tirx.call_pure_extern("int32", WORD, *values)
