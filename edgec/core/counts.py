"""What one inference, or one layer of it, executes: counted, the same in every run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Counts(BaseModel):
    """Exact counts of one inference in its steady state, from an emulator and its model of the data caches.

    Attributes:
        instructions: executed instructions.
        memory_accesses: loads and stores as the emulator makes them; those of long vectors are split.
        l1_misses: lines of 64 bytes that the level 1 data cache had to fetch.
        last_level_misses: lines of 64 bytes that main memory had to deliver.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instructions: int = Field(ge=0)
    memory_accesses: int = Field(ge=0)
    l1_misses: int = Field(ge=0)
    last_level_misses: int = Field(ge=0)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            instructions=self.instructions + other.instructions,
            memory_accesses=self.memory_accesses + other.memory_accesses,
            l1_misses=self.l1_misses + other.l1_misses,
            last_level_misses=self.last_level_misses + other.last_level_misses,
        )


NO_COUNTS = Counts(instructions=0, memory_accesses=0, l1_misses=0, last_level_misses=0)
