"""How often each symbol of a latent tensor occurs, in integers: the model that the entropy coder works with."""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

TOTAL = 65536
"""Sum of the frequencies of a channel."""


class ChannelTable(BaseModel):
    """The symbols of one channel: consecutive integers from `low`, and the frequency of each in 65536.

    Every frequency is at least 1, so that every symbol of the range can be coded; a table has 2 to 256 symbols.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int = Field(ge=-128, le=127)
    frequencies: tuple[int, ...] = Field(min_length=2, max_length=256)

    @model_validator(mode="after")
    def _covers_the_total(self) -> ChannelTable:
        if min(self.frequencies) < 1 or sum(self.frequencies) != TOTAL:
            raise ValueError(f"the frequencies of a channel are positive and sum to {TOTAL}")
        if self.high > 127:
            raise ValueError(f"the largest symbol {self.high} is beyond int8")
        return self

    @property
    def high(self) -> int:
        """The largest symbol."""
        return self.low + len(self.frequencies) - 1


class FrequencyTables(BaseModel):
    """The tables of all channels of a latent tensor [channels, per channel] of int8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[ChannelTable, ...] = Field(min_length=1)

    @property
    def sha256(self) -> str:
        """Digest: both ends of a link must hold the same tables."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def size_bits(self, latent: np.ndarray) -> float:
        """Information of a latent under these frequencies, in bits; the coder comes within 32 bits of it."""
        return float(
            sum(
                -np.log2(np.asarray(table.frequencies)[symbols.ravel().astype(np.int64) - table.low] / TOTAL).sum()
                for table, symbols in zip(self.channels, latent, strict=True)
            )
        )


def tables_from_counts(low: np.ndarray, counts: list[np.ndarray]) -> FrequencyTables:
    """Tables from how often each symbol was seen.

    Only integers are used, so every machine makes the same tables. A symbol that was not seen keeps a frequency of 1;
    what rounding leaves over goes to the largest remainders, the lower symbol first.

    Args:
        low: smallest symbol of each channel, [channels].
        counts: for each channel, how often `low`, `low + 1`, … were seen, int64; 2 to 256 entries.
    """
    return FrequencyTables(
        channels=tuple(
            ChannelTable(low=int(first), frequencies=tuple(_frequencies(seen)))
            for first, seen in zip(low, counts, strict=True)
        )
    )


def _frequencies(counts: np.ndarray) -> list[int]:
    seen = [int(count) for count in counts]
    spare, total = TOTAL - len(seen), max(1, sum(seen))
    shares = [count * spare // total for count in seen]
    left = spare - sum(shares) if sum(seen) else 0
    order = sorted(range(len(seen)), key=lambda symbol: (-(seen[symbol] * spare % total), symbol))
    for symbol in order[:left]:
        shares[symbol] += 1
    if not sum(seen):
        shares = [spare // len(seen) + (symbol < spare % len(seen)) for symbol in range(len(seen))]
    return [share + 1 for share in shares]
