"""What machine a benchmark ran on, and whether it was quiet."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_WATCHED_SECONDS = 1.0
_QUIET_SHARE = 0.1
"""Share of all cores' time that others may take before a warning is due."""


@dataclass(frozen=True)
class Machine:
    """The machine at one moment.

    Attributes:
        processor: the name that the kernel gives.
        cores: that this process may use.
        system: the operating system.
        load: average number of runnable processes in the last minute.
        busy_share: share of all cores' time that was in use while this process slept.
    """

    processor: str
    cores: int
    system: str
    load: float
    busy_share: float

    @property
    def warning(self) -> str:
        """Why to doubt the timings; empty if the machine was quiet."""
        if self.busy_share <= _QUIET_SHARE:
            return ""
        return (
            f"the machine was not quiet: others kept {self.busy_share:.0%} of its {self.cores} cores busy "
            f"(load {self.load:.1f}); trust the ratios more than the times, and neither to a few per cent"
        )

    def as_json(self) -> dict[str, str | int | float]:
        """The fields, and the warning."""
        return {**asdict(self), "warning": self.warning}


def observe() -> Machine:
    """Look at the machine for a second."""
    before = _processor_time()
    time.sleep(_WATCHED_SECONDS)
    after = _processor_time()
    total = sum(after) - sum(before)
    idle = after[3] + after[4] - before[3] - before[4]
    share = 1.0 - idle / total if total else 0.0
    system = platform.system()
    return Machine(processor_name(), len(os.sched_getaffinity(0)), system, os.getloadavg()[0], share)


def _processor_time() -> list[int]:
    """Ticks of all cores: user, nice, system, idle, waiting for disks, …"""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    return [int(field) for field in first.split()[1:9]]


def processor_name() -> str:
    """The name that the kernel gives to the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()
