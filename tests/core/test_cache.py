"""The cache gives back what was put, or nothing; never something else."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgec.core.cache import Cache, cache_folder, key_of


def entries(folder: Path) -> list[Path]:
    return [path for path in (folder / "entries").glob("*/*") if path.is_file()]


def test_what_was_put_is_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.get(key_of("a")) is None
    assert cache.put(key_of("a"), b"content")
    assert cache.get(key_of("a")) == b"content"
    assert Cache(tmp_path).get(key_of("a")) == b"content"
    assert cache.get(key_of("b")) is None


def test_keys_tell_apart_where_one_part_ends() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a") != key_of("a", "")
    assert key_of("a") == key_of(b"a")


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"x" * 100])
def test_a_damaged_entry_is_removed(tmp_path: Path, damage: bytes) -> None:
    cache = Cache(tmp_path)
    cache.put(key_of("a"), b"content")
    (path,) = entries(tmp_path)
    path.write_bytes(damage)
    assert cache.get(key_of("a")) is None
    assert entries(tmp_path) == []
    cache.put(key_of("a"), b"content")
    assert cache.get(key_of("a")) == b"content"


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(key_of("a"), bytes(1000))
    (path,) = entries(tmp_path)
    stored = bytearray(path.read_bytes())
    stored[500] ^= 4
    path.write_bytes(stored)
    assert cache.get(key_of("a")) is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=5000)
    for number, name in enumerate("abcd"):
        cache.put(key_of(name), bytes(1000))
        path = tmp_path / "entries" / key_of(name)[:2] / key_of(name)[2:]
        os.utime(path, (1000 + number, 1000 + number))
    assert cache.get(key_of("a")) is not None
    cache.put(key_of("e"), bytes(1500))
    assert cache.get(key_of("b")) is None
    assert cache.get(key_of("a")) is not None
    assert cache.get(key_of("e")) is not None
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 5000


def test_content_larger_than_the_limit_is_not_stored(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=100)
    cache.put(key_of("a"), b"small")
    assert not cache.put(key_of("b"), bytes(200))
    assert cache.get(key_of("a")) == b"small"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file")
    assert not cache.put(key_of("a"), b"content")
    assert cache.get(key_of("a")) is None


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a key"):
        Cache(tmp_path).get("../../etc/passwd")


def test_writers_and_readers_at_once_never_see_half(tmp_path: Path) -> None:
    contents = {bytes([number]) * 100_000 for number in range(4)}
    seen: set[bytes | None] = set()

    def work(content: bytes) -> None:
        cache = Cache(tmp_path, limit_bytes=300_000)
        for _ in range(20):
            cache.put(key_of("a"), content)
            seen.add(cache.get(key_of("a")))

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= contents | {None}
    assert len(entries(tmp_path)) == 1


def test_the_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("EDGEC_CACHE", raising=False)
    assert cache_folder() == Path("/somewhere/edgec")
    monkeypatch.setenv("EDGEC_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")
