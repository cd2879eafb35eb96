"""Reading `.npz` files from anywhere: no pickles, no bombs, every size checked before memory is asked for."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np

from edgec.core.codes.data import PICKLED_DATA, TOO_LARGE, UNREADABLE_DATA
from edgec.core.data_fit import ArrayHeader
from edgec.core.errors import EdgecError

LARGEST_ARRAYS_BYTES = 8 * 2**30
_MOST_ARRAYS = 4096
_LONGEST_HEADER = 10_000
_HEADER_ERRORS = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, KeyError, tokenize.TokenError)
"""What numpy raises for headers that it did not write."""


class ArrayFile:
    """The arrays of one `.npz` file, read one at a time.

    Args:
        path: the file.
        largest_bytes: limit of all arrays together, unpacked.

    Raises:
        EdgecError: EC0702 for a damaged file, EC0703 for pickled objects, EC0704 beyond the limit.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, largest_bytes: int = LARGEST_ARRAYS_BYTES) -> None:
        self.path = path
        self._largest_bytes = largest_bytes
        self.headers = self._read_headers()

    def read(self, name: str) -> np.ndarray:
        """One array, of the type and shape that its header says.

        Raises:
            EdgecError: EC0702 if the data is damaged.
        """
        header = self.headers[name]
        with self._opened() as archive, archive.open(f"{name}.npy") as member:
            self._read_header(member, name)
            content = member.read()
        if len(content) != header.dtype.itemsize * math.prod(header.shape):
            raise self._damaged(f"the array {name} has {len(content)} bytes, not what its shape says")
        return np.frombuffer(content, dtype=header.dtype).reshape(header.shape, order=self._order[name])

    def _read_headers(self) -> dict[str, ArrayHeader]:
        self._order: dict[str, Literal["C", "F"]] = {}
        headers: dict[str, ArrayHeader] = {}
        with self._opened() as archive:
            members = archive.infolist()
            self._check_sizes(members)
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in headers:
                    raise self._damaged(f"{member.filename!r} is not an array, or is there twice")
                with archive.open(member) as file:
                    headers[name] = self._read_header(file, name)
                    self._check_header(headers[name], name, member.file_size - file.tell())
        return headers

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self.path.open("rb") as file, zipfile.ZipFile(file) as archive:
                yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as problem:
            raise self._damaged(str(problem).lower().rstrip(".") or "it cannot be unpacked") from problem

    def _check_sizes(self, members: list[zipfile.ZipInfo]) -> None:
        total = sum(member.file_size for member in members)
        if len(members) > _MOST_ARRAYS or total > self._largest_bytes:
            raise EdgecError(
                TOO_LARGE,
                f"{len(members)} arrays of {total:,} bytes together, unpacked",
                where=str(self.path),
                hint=f"at most {_MOST_ARRAYS} arrays of {self._largest_bytes:,} bytes together: {TOO_LARGE.remedy}",
            )
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                raise self._damaged(f"{member.filename!r} is packed in a way that numpy does not write")

    def _read_header(self, file: IO[bytes], name: str) -> ArrayHeader:
        try:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                read = np.lib.format.read_array_header_1_0
            elif version == (2, 0):
                read = np.lib.format.read_array_header_2_0
            else:
                raise self._damaged(f"the array {name} has format version {version[0]}.{version[1]}")
            shape, fortran, dtype = read(file, max_header_size=_LONGEST_HEADER)
        except _HEADER_ERRORS as problem:
            raise self._damaged(f"the array {name} has no valid header") from problem
        self._order[name] = "F" if fortran else "C"
        return ArrayHeader(dtype, tuple(shape))

    def _check_header(self, header: ArrayHeader, name: str, stored_bytes: int) -> None:
        if header.dtype.hasobject:
            raise EdgecError(
                PICKLED_DATA,
                f"the array {name} holds Python objects",
                where=str(self.path),
                hint=PICKLED_DATA.remedy,
            )
        if header.dtype.kind not in "biufc":
            raise self._damaged(f"the array {name} is of type {header.dtype}, not of numbers")
        declared = header.dtype.itemsize * math.prod(header.shape)
        if any(extent < 0 for extent in header.shape) or declared != stored_bytes:
            raise self._damaged(f"the array {name} declares {declared:,} bytes and has {stored_bytes:,}")

    def _damaged(self, why: str) -> EdgecError:
        return EdgecError(UNREADABLE_DATA, why, where=str(self.path), hint=UNREADABLE_DATA.remedy)
