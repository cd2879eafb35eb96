"""The constants of a model as one read-only blob."""

from __future__ import annotations

import hashlib

import numpy as np

from edgec.backends.tvm.kernel_graph import Value

ALIGNMENT = 64


class ConstantBlob:
    """Places constants in the order of their first use, each on a cache line of its own, equal contents once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._offset_by_digest: dict[bytes, int] = {}
        self._offset_by_value: dict[Value, int] = {}

    def offset(self, value: Value) -> int:
        """Where a constant lies, in bytes from the start; places it when it is first asked for."""
        if value not in self._offset_by_value:
            self._offset_by_value[value] = self._place(_contents(value))
        return self._offset_by_value[value]

    @property
    def contents(self) -> bytes:
        """All constants; never empty, so that its symbol has an address."""
        return b"".join(self._pieces) or bytes(ALIGNMENT)

    def _place(self, contents: bytes) -> int:
        digest = hashlib.sha256(contents).digest()
        if digest not in self._offset_by_digest:
            self._offset_by_digest[digest] = self._size_bytes
            padding = bytes(-len(contents) % ALIGNMENT)
            self._pieces += [contents, padding]
            self._size_bytes += len(contents) + len(padding)
        return self._offset_by_digest[digest]


def _contents(value: Value) -> bytes:
    data = np.ascontiguousarray(value.data, dtype=np.dtype(value.dtype))
    return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
