"""One output file that is whole or absent."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgec.core.codes.usage import UNWRITABLE_OUTPUT
from edgec.core.errors import EdgecError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the place of `path` when the block ends without an exception.

    A link is followed; a device or a pipe is written to directly.

    Raises:
        EdgecError: EC0106 if the place is full, read-only, forbidden or a folder.
    """
    place = Path(os.path.realpath(path))
    try:
        if place.exists() and not place.is_file():
            with place.open("wb", buffering=0) as device:
                yield device
            return
        hidden = place.parent / f".{place.name[:200]}.edgec-{secrets.token_hex(4)}"
        try:
            with hidden.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(place)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise EdgecError(UNWRITABLE_OUTPUT, reason, where=str(path), hint=UNWRITABLE_OUTPUT.remedy) from problem
