"""Groups of elements of a latent, and how often symbols occur in them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra qat is not installed")

from edgec.split.frequency_tables import tables_from_counts
from edgec.training.latent_counts import LatentCounts, count_symbols

FLAT = np.full((2, 256), 1 / 256)


def _latents(samples: int, seed: int) -> np.ndarray:
    """Two channels of 5 x 5; the borders say little, the middles much."""
    spread = np.full((2, 5, 5), 0.3)
    spread[:, 1:4, 1:4] = 6.0
    noise = np.random.default_rng(seed).normal(0, spread, (samples, *spread.shape))
    return np.rint(noise).astype(np.int8)


def _bits(found: LatentCounts, latents: np.ndarray) -> float:
    tables = tables_from_counts(np.full(len(found.counts), -128), found.counts, found.groups)
    return sum(tables.size_bits(latent) for latent in latents) / len(latents)


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


def test_every_symbol_can_be_coded() -> None:
    found = count_symbols(np.zeros((4, 1, 3), np.int8), FLAT[:1])
    tables = tables_from_counts(np.full(len(found.counts), -128), found.counts, found.groups)
    assert tables.size_bits(np.array([[-128, 0, 127]], np.int8)) < 3 * 17
