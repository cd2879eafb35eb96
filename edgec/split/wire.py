"""The frames that device and server exchange.

A frame is a header of 60 bytes, the payload, and the CRC-32 of the payload. All integers are little-endian.

| offset | bytes | field |
|-------:|------:|-------|
| 0  | 4  | `EDGS` |
| 4  | 1  | version of the format, 1 |
| 5  | 1  | kind: 1 hello, 2 request, 3 response, 4 failure, 5 probe |
| 6  | 1  | coding of the payload: 0 tensors as they are, 1 entropy-coded |
| 7  | 1  | rank of the tensor; 0 where several travel, or none |
| 8  | 8  | number of the request; its answer bears the same |
| 16 | 16 | identity of the split network, `SplitManifest.identity` |
| 32 | 16 | extents of the tensor, 4 of 4 bytes; 0 beyond the rank |
| 48 | 4  | time that the server spent on the request, in microseconds; 0 in other kinds |
| 52 | 4  | size of the payload in bytes |
| 56 | 4  | CRC-32 of the 56 bytes before |

Tensors that travel as they are follow one another in the order of the manifest, row-major, little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
HEADER_BYTES = 60
CHECKSUM_BYTES = 4
MOST_AXES = 4
_MAGIC = b"EDGS"
_HEADER = struct.Struct("<4sBBBBQ16s4III")
_CHECKSUM = struct.Struct("<I")


class Kind(IntEnum):
    """What a frame is for."""

    HELLO = 1
    """First frame of a connection, its payload the token; the server answers with the same kind."""
    REQUEST = 2
    RESPONSE = 3
    FAILURE = 4
    """Answer to a request that got none: a `Failure` as one byte, then a sentence in UTF-8."""
    PROBE = 5
    """Answered with itself at once; measures the way there and back."""


class Coding(IntEnum):
    """How a payload holds its tensors."""

    RAW = 0
    ENTROPY = 1


class Failure(IntEnum):
    """Why a request got no answer."""

    BUSY = 1
    DAMAGED = 2
    OTHER_NETWORK = 3
    NOT_ADMITTED = 4
    TOO_LARGE = 5
    TAIL_FAILED = 6


class FrameError(Exception):
    """A frame that cannot be trusted.

    Args:
        failure: what to tell the sender.
        reason: what is wrong with it.
    """

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


@dataclass(frozen=True)
class Header:
    """The fields of a frame's header; see the module's table."""

    kind: Kind
    request: int
    identity: bytes
    payload_bytes: int
    coding: Coding = Coding.RAW
    shape: tuple[int, ...] = ()
    server_us: int = 0


def pack(header: Header, payload: bytes = b"") -> bytes:
    """The bytes of a frame; `header.payload_bytes` is the length of `payload`."""
    rank = len(header.shape) if len(header.shape) <= MOST_AXES else 0
    extents = (*header.shape[:rank], *(0,) * (MOST_AXES - rank))
    body = _HEADER.pack(
        _MAGIC,
        VERSION,
        header.kind,
        header.coding,
        rank,
        header.request,
        header.identity,
        *extents,
        header.server_us,
        header.payload_bytes,
    )
    return body + _CHECKSUM.pack(zlib.crc32(body)) + payload + _CHECKSUM.pack(zlib.crc32(payload))


def parse_header(data: bytes, most_payload_bytes: int) -> Header:
    """The header of a frame, before anything is allocated for its payload.

    Args:
        data: 60 bytes.
        most_payload_bytes: limit that the receiver declares.

    Raises:
        FrameError: it is damaged, of another version, or announces more than the limit.
    """
    body, checksum = data[: _HEADER.size], data[_HEADER.size :]
    magic, version, kind, coding, rank, request, identity, *extents, server_us, payload_bytes = _HEADER.unpack(body)
    if magic != _MAGIC or _CHECKSUM.unpack(checksum)[0] != zlib.crc32(body):
        raise FrameError(Failure.DAMAGED, "these bytes are no frame")
    if version != VERSION:
        raise FrameError(Failure.DAMAGED, f"version {version} of the format; this end speaks {VERSION}")
    if kind not in list(Kind) or coding not in list(Coding) or rank > MOST_AXES:
        raise FrameError(Failure.DAMAGED, f"kind {kind}, coding {coding} or rank {rank} is unknown")
    if payload_bytes > most_payload_bytes:
        reason = f"a payload of {payload_bytes} bytes; at most {most_payload_bytes} are taken"
        raise FrameError(Failure.TOO_LARGE, reason)
    return Header(Kind(kind), request, identity, payload_bytes, Coding(coding), tuple(extents[:rank]), server_us)


def checked_payload(data: bytes) -> bytes:
    """The payload of what follows a header.

    Args:
        data: the payload and its checksum.

    Raises:
        FrameError: the checksum is not that of the payload.
    """
    payload, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if _CHECKSUM.unpack(checksum)[0] != zlib.crc32(payload):
        raise FrameError(Failure.DAMAGED, "the payload was damaged on its way")
    return payload


def pack_failure(failure: Failure, reason: str) -> bytes:
    """The payload of a frame of kind `FAILURE`."""
    return bytes([failure]) + reason.encode()


def parse_failure(payload: bytes) -> FrameError:
    """What a frame of kind `FAILURE` says."""
    known = payload[:1] and payload[0] in list(Failure)
    return FrameError(Failure(payload[0]) if known else Failure.DAMAGED, payload[1:].decode(errors="replace"))
