"""What tuning needs from outside a backend: devices that time programs, and where what was learnt is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Samples = tuple[tuple[float, ...], ...]
"""For each kernel of a program what each of its runs cost; the runs of the kernels alternated."""


class Board(Protocol):
    """A device, or what stands for one, that runs the programs which time kernels."""

    @property
    def name(self) -> str:
        """What it is, for records and reports."""

    @property
    def unit(self) -> str:
        """Of what it measures: `nanoseconds`, or `instructions` where an emulator counts."""

    def run(self, program: bytes, kernels: int) -> Samples:
        """Run a program that times some kernels, and give the samples of each.

        Raises:
            EdgecError: the device cannot be reached, or the program fails on it.
        """


@dataclass(frozen=True)
class TuningRequest:
    """How far a build is to be tuned.

    Attributes:
        measurements: kernels to measure, at most; 0 uses what the database knows.
        database: file of records; read, and written if something is measured. It need not exist.
        boards: devices that measure side by side; all of one kind.
    """

    measurements: int
    database: Path
    boards: tuple[Board, ...]


@dataclass(frozen=True)
class TuningUse:
    """What tuning did for a build.

    Attributes:
        kernels: kernels of the artefact that could be computed in several ways.
        tuned: those of them that are computed in another way than the cost model's, as that was measured to be faster.
        sha256: of the records that were used.
        source: what the records rest on, one text a machine and unit.
    """

    kernels: int
    tuned: int
    sha256: str
    source: tuple[str, ...]
