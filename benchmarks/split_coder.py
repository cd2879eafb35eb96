"""Symbols a second that the entropy coder codes and decodes on one core: from Python, and in C as on a device.

    python benchmarks/split_coder.py

Latents are drawn from Laplace distributions of several widths; tables hold a few more symbols than occur, as those of
`insert-bottleneck` do. A symbol is a byte of the latent. Times are those of the processor, and the best of many rounds
counts: the machine may be busy.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pruning_cells import Results

import edgec.hw.entropy
from edgec.core.tool_chain import tool_chain_environment
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.frequency_tables import FrequencyTables, tables_from_counts

SHAPES = {"4×8×8": (4, 8, 8), "12×28×28": (12, 28, 28), "12×224×224": (12, 224, 224)}
GROUPS = 32
"""The most that a learnt bottleneck has."""
_SOURCES = Path(edgec.hw.entropy.__file__).parent
_SYMBOLS, _SPARE = np.arange(-128, 128), 4
_ROUND_S, _ROUNDS = 0.05, 40


class _CTables(ctypes.Structure):
    """`edgec_entropy_tables`."""

    _fields_ = (
        ("tables", ctypes.c_uint32),
        *((name, ctypes.c_void_p) for name in ("low", "first", "cumulative", "first_place", "places")),
    )


def drawn(shape: tuple[int, ...], random: np.random.Generator) -> tuple[FrequencyTables, np.ndarray]:
    """Tables of groups of elements, and a latent that follows them."""
    elements = int(np.prod(shape))
    groups = random.integers(0, GROUPS, elements)
    widths = random.uniform(0.2, 3.0, GROUPS)
    counts = [(np.exp(-np.abs(_SYMBOLS) / width) * 1e6).astype(np.int64) for width in widths]
    latent = np.empty(elements, np.int8)
    for group, count in enumerate(counts):
        mine = groups == group
        latent[mine] = random.choice(_SYMBOLS, int(mine.sum()), p=count / count.sum())
    known = slice(int(latent.min()) - _SPARE - _SYMBOLS[0], int(latent.max()) + _SPARE - _SYMBOLS[0] + 1)
    tables = tables_from_counts(
        np.full(GROUPS, _SYMBOLS[known][0]), [count[known] for count in counts], groups.tolist()
    )
    return tables, latent.reshape(shape)


class InC:
    """Encoding and decoding of one latent by `edgec_entropy.c`; what the library points to lives as long as this."""

    def __init__(self, library: ctypes.CDLL, tables: FrequencyTables, latent: np.ndarray) -> None:
        rows = [np.cumsum((0, *table.frequencies))[:-1] for table in tables.tables]
        places = tables.places(latent.size)
        self._arrays = [
            np.array([table.low for table in tables.tables], np.int8),
            np.cumsum([0, *map(len, rows)]).astype(np.uint32),
            np.concatenate(rows).astype(np.uint16),
            np.cumsum([0, *map(len, places)]).astype(np.uint32),
            np.concatenate(places).astype(np.uint32),
        ]
        self._library, self._latent = library, latent
        self._made, self._back = np.empty(2 * latent.size + 12, np.uint8), np.empty_like(latent)
        self._tables = _CTables(len(rows), *(array.ctypes.data for array in self._arrays))
        self._length, self._size = ctypes.c_size_t(), ctypes.c_size_t(latent.size)
        self._given, self._written, self._restored = map(_address, (latent, self._made, self._back))

    def encode(self) -> int:
        """The status."""
        space = (self._written, ctypes.c_size_t(self._made.size), ctypes.byref(self._length))
        return int(self._library.edgec_entropy_encode(ctypes.byref(self._tables), self._given, self._size, *space))

    def decode(self) -> int:
        """The status, for what was encoded last."""
        payload = (self._written, self._length)
        return int(self._library.edgec_entropy_decode(ctypes.byref(self._tables), *payload, self._restored, self._size))

    def check(self, payload: bytes) -> None:
        """End the script unless both give what Python gives."""
        same = self.encode() == 0 and self._made[: self._length.value].tobytes() == payload
        if not same or self.decode() != 0 or not np.array_equal(self._back, self._latent):
            raise SystemExit("the coder in C does something else than that in Python")


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def megabytes_a_second(work: Callable[[], object], symbols: int) -> float:
    """The best of many rounds."""
    best, times = 0.0, 1
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(times):
            work()
        spent = max(time.process_time() - started, 1e-9)
        best = max(best, symbols * times / spent / 1e6)
        times = max(1, round(times * min(100.0, _ROUND_S / spent)))
    return best


def compiled(folder: Path) -> ctypes.CDLL:
    """The coder in C as a library of this machine."""
    made = folder / "entropy.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", "-shared", "-fPIC", "-I", str(_SOURCES)]
    subprocess.run(
        [*command, str(_SOURCES / "edgec_entropy.c"), "-o", str(made)],
        check=True,
        env=tool_chain_environment(os.environ, folder / "objects"),
    )
    return ctypes.CDLL(str(made))


def speeds(shape: tuple[int, ...], library: ctypes.CDLL) -> dict[str, float]:
    """Megabytes of symbols a second of both coders in both directions."""
    tables, latent = drawn(shape, np.random.default_rng(0))
    coder, device = EntropyCoder(tables), InC(library, tables, latent)
    payload = coder.encode(latent)
    device.check(payload)
    found: dict[str, Callable[[], object]] = {
        "encode, Python": lambda: coder.encode(latent),
        "decode, Python": lambda: coder.decode(payload, latent.shape),
        "encode, C": device.encode,
        "decode, C": device.decode,
    }
    measured = {what: round(megabytes_a_second(work, latent.size), 1) for what, work in found.items()}
    return {"symbols": latent.size, "bytes": len(payload), **measured}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "split-coder.json")
    results = Results(parser.parse_args().out)
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(folder))
        for name, shape in SHAPES.items():
            results.put(name, **speeds(shape, library))
            print(name, results.cells[name], flush=True)


if __name__ == "__main__":
    main()
