"""Takes the large weights out of a serialised ONNX model before it is parsed.

A parser of protocol buffers copies every byte of every tensor. A model of 500 MB would take 500 MB beside its mapping
only to be looked at. Here the file is mapped, the wire format is walked, and the data of large tensors are replaced by
a reference to their place in the file; what remains is small and goes to the ordinary parser.
Source of the format: the Protocol Buffers encoding guide, and `onnx.proto` for the field numbers.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

PLACE_IN_FILE = "edgec:in-the-model-file"
"""Location that marks a tensor whose data stand in the model file itself, at the offset and length given with it."""

LARGE_BYTES = 1 << 16
"""Messages below this size are copied whole: walking them would take longer than parsing them."""

_MAX_DEPTH = 64
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# Field numbers of onnx.proto.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "model", "graph", "node", "attribute", "tensor"
_CHILDREN: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH},
    _TENSOR: {},
}
_TENSOR_FLOAT_DATA, _TENSOR_RAW_DATA = 4, 9
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14


class WireError(ValueError):
    """The bytes are not in the wire format of protocol buffers."""


@dataclass(frozen=True)
class _Field:
    number: int
    kind: int
    start: int
    payload: int
    end: int


def without_large_tensors(data: mmap.mmap | bytes) -> bytes:
    """The model with the data of large tensors replaced by references to the file.

    Args:
        data: a serialised `ModelProto`.

    Returns:
        A serialised `ModelProto` in which large raw or packed float data are external data at `PLACE_IN_FILE`.

    Raises:
        WireError: the bytes end within a field, or a field has a length or a kind that cannot be.
    """
    return b"".join(_strip(data, 0, len(data), _MODEL, 0))


def _strip(data: mmap.mmap | bytes, start: int, end: int, message: str, depth: int) -> list[bytes]:
    """The pieces of one message after its large tensors are taken out."""
    children = _CHILDREN[message]
    pieces: list[bytes] = []
    copied = start
    for field in _fields(data, start, end):
        child = children.get(field.number) if field.kind == _LENGTH else None
        if child is None or field.end - field.payload < LARGE_BYTES or depth >= _MAX_DEPTH:
            continue
        pieces.append(data[copied : field.start])
        body = b"".join(
            _strip_tensor(data, field.payload, field.end)
            if child == _TENSOR
            else _strip(data, field.payload, field.end, child, depth + 1)
        )
        pieces.append(_encoded(field.number, body))
        copied = field.end
    pieces.append(data[copied:end])
    return pieces


def _strip_tensor(data: mmap.mmap | bytes, start: int, end: int) -> list[bytes]:
    fields = list(_fields(data, start, end))
    large = [f for f in fields if f.kind == _LENGTH and f.end - f.payload >= LARGE_BYTES // 2]
    data_fields = [f for f in large if f.number in (_TENSOR_FLOAT_DATA, _TENSOR_RAW_DATA)]
    repeated = [f for f in fields if f.number in (_TENSOR_FLOAT_DATA, _TENSOR_RAW_DATA)]
    elsewhere = any(f.number in (_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION) and f.kind == _LENGTH for f in fields)
    if len(data_fields) != 1 or len(repeated) != 1 or elsewhere:
        return [data[start:end]]
    cut = data_fields[0]
    reference = {"location": PLACE_IN_FILE, "offset": str(cut.payload), "length": str(cut.end - cut.payload)}
    pieces = [data[f.start : f.end] for f in fields if f is not cut]
    for key, value in reference.items():
        entry = _encoded(1, key.encode()) + _encoded(2, value.encode())
        pieces.append(_encoded(_TENSOR_EXTERNAL_DATA, entry))
    pieces.append(_varint_bytes(_TENSOR_DATA_LOCATION << 3 | _VARINT) + b"\x01")
    return pieces


def _fields(data: mmap.mmap | bytes, start: int, end: int) -> list[_Field]:
    found = []
    position = start
    while position < end:
        tag, payload = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"field number 0 at byte {position}")
        if kind == _VARINT:
            _, after = _varint(data, payload, end)
        elif kind == _FIXED64:
            after = payload + 8
        elif kind == _LENGTH:
            length, payload = _varint(data, payload, end)
            after = payload + length
        elif kind == _FIXED32:
            after = payload + 4
        else:
            raise WireError(f"a field of kind {kind} at byte {position}")
        if after > end:
            raise WireError(f"the field at byte {position} needs {after - end} bytes more than there are")
        found.append(_Field(number, kind, position, payload, after))
        position = after
    return found


def _varint(data: mmap.mmap | bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise WireError(f"the file ends within a number at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError(f"a number of more than 64 bits at byte {position}")


def _varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _encoded(number: int, body: bytes) -> bytes:
    return _varint_bytes(number << 3 | _LENGTH) + _varint_bytes(len(body)) + body
