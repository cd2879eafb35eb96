"""Weights in registers that are written over I2C: their ranges, the register map, and the image of the weights."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgec.backends.rtl.integer_graph import Affine, IntegerGraph, Integers, Interval, bits_of
from edgec.core.codes.hardware import DOES_NOT_FIT
from edgec.core.errors import EdgecError

IMAGE = "weights/image.bin"
MAP = "weights/register-map.json"
_LEARNT = ("Conv", "Gemm", "MatMul")
_MOST_BYTES = 1 << 16


class RegisterBlock(BaseModel):
    """Registers of the weights or the biases of one layer, at addresses that follow each other.

    Attributes:
        node: the ONNX node.
        holds: what they hold.
        first: address of the first byte.
        shape: extents of what they hold, the last one fastest.
        axes: what the extents are.
        bytes_each: bytes of a value, the least significant first.
        bits: bits of a value that exist, in two's complement; those above are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    holds: str
    first: int
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    bytes_each: int
    bits: int

    @property
    def count(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))


class RegisterMap(BaseModel):
    """Where each weight is written.

    Attributes:
        device: address of the chip on the bus, of 7 bits.
        checksum: what the two bytes at the end of the image, and those that are read from the chip, are.
        blocks: registers, in order of their addresses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int
    checksum: str
    blocks: tuple[RegisterBlock, ...]


@dataclass(frozen=True, eq=False)
class LoadedAffine(Affine):
    """Products whose weights may change: their bounds are those of any weights that the registers can hold."""

    @property
    def weight_bits(self) -> int:
        """Bits of a weight."""
        return bits_of(min(-1, int(self.weights.min())), int(self.weights.max()))

    @property
    def bias_bits(self) -> int:
        """Bits of a bias."""
        return bits_of(min(-1, int(self.bias.min())), int(self.bias.max()))

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Every product at the extreme of all weights and biases."""
        most, bias = 1 << (self.weight_bits - 1), 1 << (self.bias_bits - 1)
        lowest = replace(
            _as_affine(self), weights=np.full_like(self.weights, -most), bias=np.full_like(self.bias, -bias)
        )
        highest = replace(lowest, weights=np.full_like(self.weights, most - 1), bias=np.full_like(self.bias, bias - 1))
        bounds = [operation.interval(inputs) for operation in (lowest, highest)]
        return Interval(np.minimum(bounds[0].low, bounds[1].low), np.maximum(bounds[0].high, bounds[1].high))


def _as_affine(operation: Affine) -> Affine:
    return Affine(
        operation.node,
        operation.op,
        operation.sources,
        operation.size,
        operation.weights,
        operation.bias,
        operation.reads,
        operation.place,
    )


def with_loaded_weights(graph: IntegerGraph) -> IntegerGraph:
    """The network with the weights of its dense layers and convolutions free; sums over windows stay as they are."""
    operations = tuple(
        LoadedAffine(**vars(_as_affine(operation)))
        if isinstance(operation, Affine) and operation.op in _LEARNT
        else operation
        for operation in graph.operations
    )
    return replace(graph, operations=operations)


def register_map(graph: IntegerGraph, device: int) -> RegisterMap:
    """Addresses for the weights of a network `with_loaded_weights`.

    Raises:
        EdgecError: EC1102 where they need more than 65,536 bytes.
    """
    blocks: list[RegisterBlock] = []
    first = 0
    for operation in graph.operations:
        if isinstance(operation, LoadedAffine):
            for holds, values, bits in held_by(operation):
                axes = ("group", "input", "output") if holds == "weights" else ("group", "output")
                each = -(-bits // 8)
                blocks.append(
                    RegisterBlock(
                        node=operation.node,
                        holds=holds,
                        first=first,
                        shape=values.shape,
                        axes=axes,
                        bytes_each=each,
                        bits=bits,
                    )
                )
                first += values.size * each
    if first + 2 > _MOST_BYTES:
        raise EdgecError(
            DOES_NOT_FIT,
            f"weights and biases take {first} registers of a byte, {_MOST_BYTES - 2} have an address",
            where="weights in registers",
            hint='use weights = "hard-wired", or prune the network',
        )
    return RegisterMap(device=device, checksum="CRC-16/CCITT-FALSE, high byte first", blocks=tuple(blocks))


def weight_image(graph: IntegerGraph) -> bytes:
    """Every register's byte in order of the addresses, and the checksum behind them."""
    parts = []
    for operation in graph.operations:
        if isinstance(operation, LoadedAffine):
            for _, values, bits in held_by(operation):
                each = -(-bits // 8)
                parts += [int(value).to_bytes(each, "little", signed=True) for value in values.ravel()]
    content = b"".join(parts)
    return content + binascii.crc_hqx(content, 0xFFFF).to_bytes(2, "big")


def held_by(operation: LoadedAffine) -> list[tuple[str, Integers, int]]:
    """What the registers of an operation hold: a name, the values and their bits."""
    return [
        ("weights", operation.weights, operation.weight_bits),
        ("bias", operation.bias, operation.bias_bits),
    ]
