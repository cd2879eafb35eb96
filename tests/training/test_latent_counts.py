"""Groups of elements of a latent, and how often symbols occur in them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra qat is not installed")

from edgec.split.frequency_tables import FrequencyTables, tables_from_counts
from edgec.training.latent_counts import LatentCounts, count_symbols

FLAT = np.full((2, 256), 1 / 256)


def _latents(samples: int, seed: int) -> np.ndarray:
    """Two channels of 5 x 5; the borders say little, the middles much."""
    spread = np.full((2, 5, 5), 0.3)
    spread[:, 1:4, 1:4] = 6.0
    noise = np.random.default_rng(seed).normal(0, spread, (samples, *spread.shape))
    return np.rint(noise).astype(np.int8)


def _tables(found: LatentCounts) -> FrequencyTables:
    return tables_from_counts(np.full(len(found.counts), found.lowest), found.counts, found.groups)


def _bits(found: LatentCounts, latents: np.ndarray) -> float:
    tables, sent = _tables(found), latents.clip(found.lowest, found.highest)
    return sum(tables.size_bits(latent) for latent in sent) / len(latents)


def _bits_of_channels(latents: np.ndarray) -> float:
    """What one table a channel needs at least, made of the very latents that it codes."""
    symbols = latents.reshape(len(latents), 2, -1).transpose(1, 0, 2).reshape(2, -1).astype(int) + 128
    shares = [np.bincount(channel, minlength=256) / channel.size for channel in symbols]
    return sum(-float((share[share > 0] * np.log2(share[share > 0])).sum()) * 25 for share in shares)


def test_elements_alike_share_a_group_and_cost_less_than_their_channel() -> None:
    found, new = count_symbols(_latents(2000, 0), FLAT), _latents(300, 1)
    groups = np.array(found.groups).reshape(2, 5, 5)
    assert not set(groups[:, 1:4, 1:4].ravel()) & set(groups[:, 0].ravel())
    assert _bits(found, new) < 0.8 * _bits_of_channels(new)
    assert found.bits == pytest.approx(_bits(found, new), rel=0.05)


def test_few_samples_do_no_harm() -> None:
    new = _latents(300, 1)
    assert _bits(count_symbols(_latents(8, 0), FLAT), new) < 1.05 * _bits_of_channels(new)


def test_every_symbol_of_the_tables_can_be_coded() -> None:
    found = count_symbols(np.zeros((4, 1, 3), np.int8), FLAT[:1])
    assert _tables(found).size_bits(np.array([[found.lowest, 0, found.highest]], np.int8)) < 3 * 17


def test_tables_hold_little_more_than_the_symbols_that_occur() -> None:
    latents = _latents(2000, 0)
    found = count_symbols(latents, FLAT)
    assert found.lowest <= latents.min()
    assert found.highest >= latents.max()
    assert len(found.counts[0]) < int(latents.max()) - int(latents.min()) + 10


def test_the_ends_of_int8_are_the_ends_of_tables() -> None:
    found = count_symbols(np.array([[[-128]], [[127]]], np.int8), FLAT[:1])
    assert (found.lowest, found.highest) == (-128, 127)
