"""A store of build products by key, shared by every build of a user.

An entry is one file: the SHA-256 of its content, then the content. Entries are written under a hidden name and
renamed, so readers and other writers never see half of one; an entry whose content does not have its digest is
removed when it is met. When the store exceeds its limit, entries that were not used for longest go first.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT_VARIABLE = "EDGEC_CACHE"
DEFAULT_LIMIT_BYTES = 2 * 2**30
_DIGEST_BYTES = 32
_KEPT_AFTER_EVICTION = 0.8


def cache_folder() -> Path:
    """`EDGEC_CACHE` if it is set, else `user_cache_folder`."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(chosen) if chosen else user_cache_folder()


def user_cache_folder() -> Path:
    """`edgec` in the user's cache folder (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "edgec"


def key_of(*parts: str | bytes) -> str:
    """The key of everything that decides a product: SHA-256 over the parts and their lengths, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Entry:
    path: Path
    size_bytes: int
    used_at: int


class Cache:
    """The store in one folder.

    A cache is no place to fail: where its folder cannot be read or written, `get` finds nothing and `put` says that it
    stored nothing, and the build takes longer.

    Args:
        folder: where the entries are; made at the first `put`.
        limit_bytes: size of all entries beyond which the oldest are removed; a larger entry is not stored.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._entries_folder = (folder if folder is not None else cache_folder()) / "entries"
        self._limit_bytes = limit_bytes

    def get(self, key: str) -> bytes | None:
        """The content stored under a key; None if there is none or it was damaged."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> bool:
        """Store content under a key, and evict what no longer fits; whether it was stored."""
        if len(content) + _DIGEST_BYTES > self._limit_bytes:
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, hashlib.sha256(content).digest() + content)
        except OSError:
            return False
        self._evict()
        return True

    def _path(self, key: str) -> Path:
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"{key!r} is not a key made by key_of")
        return self._entries_folder / key[:2] / key[2:]

    def _write(self, path: Path, stored: bytes) -> None:
        handle, hidden = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(stored)
            Path(hidden).replace(path)
        except BaseException:
            Path(hidden).unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        entries = self._entries()
        total = sum(entry.size_bytes for entry in entries)
        if total <= self._limit_bytes:
            return
        for entry in sorted(entries, key=lambda each: each.used_at):
            with suppress(OSError):
                entry.path.unlink()
                total -= entry.size_bytes
            if total <= self._limit_bytes * _KEPT_AFTER_EVICTION:
                return

    def _entries(self) -> list[_Entry]:
        """Every file of the store, those of killed writers too; files that vanish meanwhile are left out."""
        entries = []
        for path in self._entries_folder.glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                entries.append(_Entry(path, status.st_size, status.st_mtime_ns))
        return entries
