"""Reading files that people write or that reports are: devices and files beyond any such size are refused unread."""

from __future__ import annotations

import errno
from pathlib import Path

_LARGEST_BYTES = 64 * 2**20


def read_small_file(path: Path) -> bytes:
    """The contents of a regular file of at most 64 MiB.

    Raises:
        OSError: it cannot be read, is a device or a pipe (EINVAL), or is larger (EFBIG).
    """
    status = path.stat()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if status.st_size > _LARGEST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_LARGEST_BYTES // 2**20} MiB", str(path))
    return path.read_bytes()
