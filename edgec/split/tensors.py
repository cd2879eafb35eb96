"""Tensors in a payload: as they are, or entropy-coded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample, TensorSpec
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.manifest import SplitManifest
from edgec.split.wire import Coding, Failure, FrameError


class PayloadCoding:
    """How the tensors of one split network travel, in both directions.

    Args:
        manifest: of the split network.

    Raises:
        EdgecError: EC0901 where entropy coding is wanted and constriction is not installed.
    """

    def __init__(self, manifest: SplitManifest) -> None:
        self._manifest = manifest
        self._coder = EntropyCoder(manifest.tables) if manifest.tables is not None else None
        self.coding = Coding.RAW if self._coder is None else Coding.ENTROPY
        self.shape = manifest.sent[0].shape if len(manifest.sent) == 1 else ()
        # An entropy-coded symbol takes at most 16 bits; a damaged header must not make the server reserve more.
        self.most_bytes = max(manifest.sent_bytes, 2 * math.prod(manifest.sent[0].shape) + 12 if self._coder else 0)

    def pack(self, tensors: Sample) -> bytes:
        """The payload of what the head made, by name.

        Raises:
            EdgecError: EC1201 for a latent beyond its tables.
        """
        if self._coder is not None:
            return self._coder.encode(tensors[self._manifest.sent[0].name][0])
        return pack_tensors(tensors, self._manifest.sent)

    def unpack(self, payload: bytes, coding: Coding, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """What the head made, by name.

        Raises:
            FrameError: the payload does not hold what the manifest says.
        """
        if coding is not self.coding or shape != self.shape:
            raise FrameError(Failure.OTHER_NETWORK, f"the tensor is {shape} with coding {coding.name.lower()}")
        if self._coder is None:
            return unpack_tensors(payload, self._manifest.sent)
        spec = self._manifest.sent[0]
        try:
            return {spec.name: self._coder.decode(payload, spec.shape[1:])[np.newaxis]}
        except EdgecError as error:
            raise FrameError(Failure.DAMAGED, error.what) from error


def pack_tensors(tensors: Sample, specs: Sequence[TensorSpec]) -> bytes:
    """Tensors one after another, row-major, little-endian."""
    return b"".join(np.ascontiguousarray(tensors[spec.name], _little_endian(spec)).tobytes() for spec in specs)


def unpack_tensors(payload: bytes, specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """Tensors by name.

    Raises:
        FrameError: the payload has another size than the tensors.
    """
    wanted = sum(spec.size_bytes for spec in specs)
    if len(payload) != wanted:
        raise FrameError(Failure.DAMAGED, f"the payload has {len(payload)} bytes where {wanted} are due")
    tensors, place = {}, 0
    for spec in specs:
        flat = np.frombuffer(payload, _little_endian(spec), spec.elements, place)
        tensors[spec.name] = flat.reshape(spec.shape).astype(spec.dtype)
        place += spec.size_bytes
    return tensors


def _little_endian(spec: TensorSpec) -> np.dtype[np.generic]:
    return np.dtype(spec.dtype).newbyteorder("<")
