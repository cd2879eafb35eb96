"""The entropy coder: exact, the same on every machine, within a few bytes of the information, safe on damaged input."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.core.errors import EdgecError
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.frequency_tables import TOTAL, FrequencyTables, SymbolTable, tables_from_counts

pytest.importorskip("constriction")

Case = tuple[FrequencyTables, np.ndarray]


def _case(rng: np.random.Generator) -> Case:
    """Tables of any skew, for channels or for groups of few or many elements, and a latent that mostly follows them."""
    channels, per_channel = int(rng.integers(1, 6)), int(rng.integers(0, rng.choice([60, 120])))
    groups = rng.permutation(np.repeat(np.arange(channels), per_channel)) if rng.random() < 0.5 else np.array([], int)
    low, counts = [], []
    flat = np.empty(channels * per_channel, np.int64)
    for number in range(channels):
        symbols = int(rng.integers(2, rng.choice([4, 30, 257])))
        low.append(int(rng.integers(-128, 129 - symbols)))
        shares = rng.dirichlet(np.full(symbols, rng.choice([0.02, 0.3, 5.0])))
        counts.append(rng.multinomial(int(rng.integers(0, 10_000)), shares))
        drawn = rng.choice(symbols, size=per_channel, p=shares if rng.random() < 0.8 else None) + low[-1]
        flat[groups == number if groups.size else slice(number * per_channel, (number + 1) * per_channel)] = drawn
    tables = tables_from_counts(np.array(low), counts, groups.tolist())
    return tables, flat.astype(np.int8).reshape(channels, per_channel)


def _serialised(cases: Sequence[Case]) -> bytes:
    parts = []
    for tables, latent in cases:
        rows = [np.cumsum((0, *table.frequencies))[:-1] for table in tables.tables]
        first = np.cumsum([0, *(len(row) for row in rows)]).astype("<u4")
        cumulative = np.concatenate(rows).astype("<u2")
        places = tables.places(latent.size)
        grouped = np.concatenate([np.cumsum([0, *map(len, places)]), *places]).astype("<u4") if tables.groups else None
        parts += [
            struct.pack("<4I", len(rows), latent.size, len(cumulative), grouped is not None),
            np.array([table.low for table in tables.tables], np.int8).tobytes(),
            first.tobytes(),
            cumulative.tobytes(),
            b"" if grouped is None else grouped.tobytes(),
            latent.tobytes(),
        ]
    return b"".join(parts)


def _payloads(stream: bytes) -> list[bytes]:
    payloads, place = [], 0
    while place < len(stream):
        (length,) = struct.unpack_from("<I", stream, place)
        payloads.append(stream[place + 4 : place + 4 + length])
        place += 4 + length
    return payloads


def test_device_and_host_make_the_same_bytes(device_coder: Callable[[bytes], bytes]) -> None:
    """The device's program decodes each of its payloads too, and stops where a latent differs."""
    rng = np.random.default_rng(0)
    cases = [_case(rng) for _ in range(10_000)]
    made = _payloads(device_coder(_serialised(cases)))
    assert len(made) == len(cases)
    for (tables, latent), payload in zip(cases, made, strict=True):
        coder = EntropyCoder(tables)
        assert coder.encode(latent) == payload
        assert np.array_equal(coder.decode(payload, latent.shape), latent)


def test_size_is_the_information_and_a_few_bytes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        tables, latent = _case(rng)
        assert 8 * len(EntropyCoder(tables).encode(latent)) <= tables.size_bits(latent) * 1.0001 + 32


def test_a_symbol_outside_the_table_is_refused() -> None:
    tables = tables_from_counts(np.array([-1]), [np.array([1, 2, 1])])
    with pytest.raises(EdgecError, match="EC1201"):
        EntropyCoder(tables).encode(np.array([[2]], np.int8))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), payload=st.binary(max_size=64))
def test_any_bytes_decode_to_a_latent_that_codes_to_them_or_are_refused(seed: int, payload: bytes) -> None:
    tables, latent = _case(np.random.default_rng(seed))
    coder = EntropyCoder(tables)
    with suppress(EdgecError):
        assert coder.encode(coder.decode(payload, latent.shape)) == payload


def test_a_damaged_payload_is_refused() -> None:
    tables, latent = _case(np.random.default_rng(5))
    coder = EntropyCoder(tables)
    payload = coder.encode(latent)
    for damaged in (payload[:-1], payload[4:], payload + b"\0", b"\1\0\0\0" + payload, payload + b"\1"):
        with pytest.raises(EdgecError, match="EC1202"):
            coder.decode(damaged, latent.shape)


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=256))
def test_tables_cover_every_symbol_and_follow_the_counts(counts: list[int]) -> None:
    (table,) = tables_from_counts(np.array([-128]), [np.array(counts, np.int64)]).tables
    assert sum(table.frequencies) == TOTAL
    if sum(counts):
        shares = np.array(counts, float) / sum(counts) * (TOTAL - len(counts))
        assert np.abs(np.array(table.frequencies) - 1 - shares).max() <= 1


def test_tables_that_do_not_sum_to_the_total_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 65536"):
        SymbolTable(low=0, frequencies=(1, 2))


def test_elements_of_groups_without_a_table_are_refused() -> None:
    with pytest.raises(ValueError, match="none of the 1 tables"):
        tables_from_counts(np.array([0]), [[1, 2]], groups=[0, 1])
