"""Weights of four and of two bits: several to a byte in the artefact, spread to a byte each before they are used.

The kernels that multiply read whole bytes, as no instruction multiplies less. The bytes live in the arena, only until
the layer has been computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor
from edgec.backends.tvm.kernel_graph import Operation, Pattern, Value
from edgec.backends.tvm.lowering import Lowering, label

_NARROW_BITS = (2, 4)
_LEAST_BYTES = 2048
"""Below this, the kernel that spreads weights is about as large as what it saves."""

_VECTOR_BYTES = 64


def pack_bits(weights: np.ndarray, bits: int) -> np.ndarray:
    """Integers of a few bits as bytes, uint8 of shape (bytes,).

    Byte `i` holds element `i` of each of the 8 / bits equal parts that the elements are divided into, the first part in
    the lowest bits; so whole vectors are spread by one shift. The last part is filled up with zeros.

    Args:
        weights: integers from -2^(bits-1) to 2^(bits-1)-1, any shape.
        bits: 1, 2 or 4.
    """
    parts = 8 // bits
    count = math.ceil(weights.size / (parts * _VECTOR_BYTES)) * _VECTOR_BYTES
    filled = np.zeros((parts, count), np.int64)
    filled.reshape(-1)[: weights.size] = weights.reshape(-1)
    shifts = bits * np.arange(parts)[:, None]
    packed: np.ndarray = ((filled & (2**bits - 1)) << shifts).sum(axis=0).astype(np.uint8)
    return packed


def stored_weights(lowering: Lowering, node: ir.Node, name: str, weights: np.ndarray) -> Value:
    """Weights for a kernel: a constant, or what is spread from one where all of them fit four or two bits."""
    bits = _bits_of(weights)
    if bits is None or weights.nbytes < _LEAST_BYTES:
        return lowering.literal(name, weights)
    packed = lowering.literal(f"{name}.packed", pack_bits(weights, bits))
    spread = Value(f"{name}.spread", (8 // bits, *packed.shape), "int8")

    def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        return [_spread(tensors[0], spread.shape, bits)]

    step = Operation(label(node), "UnpackWeights", Pattern.INJECTIVE, (packed,), (spread,), compute)
    lowering.steps.append(step)
    return lowering.view(name, spread, (name, weights.shape, "int8"))


def _bits_of(weights: np.ndarray) -> int | None:
    """The fewest bits that all weights fit, if these are fewer than a byte."""
    if weights.dtype != np.int8 or weights.size == 0:
        return None
    low, high = int(weights.min()), int(weights.max())
    return next((bits for bits in _NARROW_BITS if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1)), None)


def _spread(packed: Tensor, shape: tuple[int, ...], bits: int) -> Tensor:
    """The inverse of `pack_bits`, int8 of shape (parts, bytes)."""

    def element(part: Expression, place: Expression) -> Expression:
        shift = tirx.Cast("uint8", part * bits)
        field = (packed(place) >> shift) & tirx.const(2**bits - 1, "uint8")
        sign = tirx.const(2 ** (bits - 1), "uint8")
        return tirx.Cast("int8", (field ^ sign) - sign)

    return te.compute(shape, element, name="spread")
