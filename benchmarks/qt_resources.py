"""Files in a resource file of Qt (.rcc), which programs keep their pictures in.

The format has no specification: it is what `rcc` writes and `QResource` reads (qtbase, src/corelib/io/qresource.cpp). A
header with the places of three tables; a tree of folders and files; names in UTF-16; and contents, each behind its
length. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"qres"
_HEADER = struct.Struct(">4s4I")
_FOLDER, _FILE = struct.Struct(">IHII"), struct.Struct(">IHHHI")
_NODE_BYTES, _NODE_BYTES_WITH_TIME, _FIRST_WITH_TIME = 14, 22, 2
_COMPRESSED, _IS_FOLDER = 0b101, 0b010


def stored_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file that is kept as it is; pictures are, since they are compressed already."""
    content = path.read_bytes()
    magic, version, tree, data, names = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise SystemExit(f"{path} is no resource file of Qt")
    node_bytes = _NODE_BYTES if version < _FIRST_WITH_TIME else _NODE_BYTES_WITH_TIME

    def name_at(offset: int) -> str:
        (letters,) = struct.unpack_from(">H", content, names + offset)
        # A hash of the name stands between its length and its letters.
        return content[names + offset + 6 :][: 2 * letters].decode("utf-16-be")

    def below(number: int, folder: str) -> Iterator[tuple[str, bytes]]:
        place = tree + number * node_bytes
        name, flags, count, first = _FOLDER.unpack_from(content, place)
        here = f"{folder}/{name_at(name)}" if number else ""
        if flags & _IS_FOLDER:
            for child in range(first, first + count):
                yield from below(child, here)
        elif not flags & _COMPRESSED:
            start = data + _FILE.unpack_from(content, place)[-1]
            (length,) = struct.unpack_from(">I", content, start)
            yield here, content[start + 4 : start + 4 + length]

    yield from below(0, "")
