"""Small pictures of network inputs, as PNG."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

LONGEST_SIDE = 64
"""Pixels of a picture's longer side, at most."""

_SHORTEST_SIDE = 8
_LONGEST_RATIO = 16
_GREY, _COLOURS = 0, 2
"""Colour types of the PNG header."""


def thumbnail(values: np.ndarray) -> str | None:
    """An input as a PNG file in Base64; None where it does not look like one picture.

    A picture has one or three channels, before height and width or behind them, and a batch of one at most. Its
    smallest value becomes black and its largest white. It is shrunk by averaging whole blocks of pixels.

    Args:
        values: real numbers or integers, any finite range.
    """
    pixels = _channels_last(values)
    if pixels is None:
        return None
    return base64.b64encode(_png(_eight_bits(_shrunk(pixels.astype(np.float64))))).decode("ascii")


def _channels_last(values: np.ndarray) -> np.ndarray | None:
    """The picture as [height, width, channels]."""
    one = values[0] if values.ndim == 4 and values.shape[0] == 1 else values
    if one.ndim != 3 or one.dtype.kind not in "fiu":
        return None
    if one.shape[0] in (1, 3) and _is_area(one.shape[1:]):
        return one.transpose(1, 2, 0)
    return one if one.shape[2] in (1, 3) and _is_area(one.shape[:2]) else None


def _is_area(extents: tuple[int, ...]) -> bool:
    return min(extents) >= _SHORTEST_SIDE and max(extents) <= _LONGEST_RATIO * min(extents)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Means of square blocks; the right and lower edge are cut where blocks do not fit."""
    block = min(-(-max(pixels.shape[:2]) // LONGEST_SIDE), min(pixels.shape[:2]))
    height, width, channels = pixels.shape[0] // block, pixels.shape[1] // block, pixels.shape[2]
    cut = pixels[: height * block, : width * block]
    means: np.ndarray = cut.reshape(height, block, width, block, channels).mean(axis=(1, 3))
    return means


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    scaled: np.ndarray = np.rint((pixels - low) * (255.0 / (high - low)) if high > low else np.zeros_like(pixels))
    return scaled.astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    """A PNG file (RFC 2083) of uint8 [height, width, 1 or 3]; no row is filtered."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if channels == 1 else _COLOURS, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
