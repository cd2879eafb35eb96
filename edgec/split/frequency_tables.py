"""How often each symbol of a latent tensor occurs, in integers: the model that the entropy coder works with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

TOTAL = 65536
"""Sum of the frequencies of a table."""


class SymbolTable(BaseModel):
    """The symbols of one group of elements: consecutive integers from `low`, and the frequency of each in 65536.

    Every frequency is at least 1, so that every symbol of the range can be coded; a table has 2 to 256 symbols.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int = Field(ge=-128, le=127)
    frequencies: tuple[int, ...] = Field(min_length=2, max_length=256)

    @model_validator(mode="after")
    def _covers_the_total(self) -> SymbolTable:
        if min(self.frequencies) < 1 or sum(self.frequencies) != TOTAL:
            raise ValueError(f"the frequencies of a table are positive and sum to {TOTAL}")
        if self.high > 127:
            raise ValueError(f"the largest symbol {self.high} is beyond int8")
        return self

    @property
    def high(self) -> int:
        """The largest symbol."""
        return self.low + len(self.frequencies) - 1


class FrequencyTables(BaseModel):
    """The tables of all elements of a latent tensor [channels, …] of int8.

    Attributes:
        tables: one for each channel, or for each group of elements that have much the same symbols.
        groups: for each element of the latent, row-major, the number of its table; empty where channels are the groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: tuple[SymbolTable, ...] = Field(min_length=1)
    groups: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _groups_have_tables(self) -> FrequencyTables:
        if self.groups and not 0 <= min(self.groups) <= max(self.groups) < len(self.tables):
            raise ValueError(f"an element belongs to a group that is none of the {len(self.tables)} tables")
        return self

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether every element of a latent of this shape, [channels, …], has a table."""
        return math.prod(shape) == len(self.groups) if self.groups else shape[:1] == (len(self.tables),)

    def places(self, elements: int) -> list[np.ndarray]:
        """For each table the elements that it codes, by their row-major numbers, in the order in which they travel.

        Args:
            elements: of the latent.
        """
        if not self.groups:
            return list(np.arange(elements).reshape(len(self.tables), -1))
        groups = np.array(self.groups)
        return [np.flatnonzero(groups == number) for number in range(len(self.tables))]

    @property
    def sha256(self) -> str:
        """Digest: both ends of a link must hold the same tables."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def size_bits(self, latent: np.ndarray) -> float:
        """Information of a latent under these frequencies, in bits; the coder comes within 32 bits of it."""
        flat, bits = latent.ravel().astype(np.int64), 0.0
        for table, places in zip(self.tables, self.places(flat.size), strict=True):
            bits -= float(np.log2(np.asarray(table.frequencies)[flat[places] - table.low] / TOTAL).sum())
        return bits


def tables_from_counts(
    low: np.ndarray, counts: Sequence[Sequence[int] | np.ndarray], groups: Sequence[int] = ()
) -> FrequencyTables:
    """Tables from how often each symbol was seen.

    Only integers are used, so every machine makes the same tables. A symbol that was not seen keeps a frequency of 1;
    what rounding leaves over goes to the largest remainders, the lower symbol first.

    Args:
        low: smallest symbol of each table, [tables].
        counts: for each table, how often `low`, `low + 1`, … were seen, whole numbers; 2 to 256 entries.
        groups: as in `FrequencyTables`.
    """
    return FrequencyTables(
        groups=tuple(groups),
        tables=tuple(
            SymbolTable(low=int(first), frequencies=tuple(_frequencies(seen)))
            for first, seen in zip(low, counts, strict=True)
        ),
    )


def _frequencies(counts: Sequence[int] | np.ndarray) -> list[int]:
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
