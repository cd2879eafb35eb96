"""How busy other processes keep this machine while something is timed."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_IDLE_COLUMNS = frozenset({3, 4})
_GUEST_COLUMNS = 8
"""From here on `cpu` repeats time that user and nice hold already (proc(5))."""


class MachineLoad:
    """Processor time that neither this process nor its children used, from construction on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def cores_of_others(self) -> float | None:
        """Cores that others kept busy on average; None where the system does not say."""
        busy = _busy_seconds()
        elapsed = time.monotonic() - self._started
        if busy is None or self._busy is None or elapsed <= 0:
            return None
        return max(0.0, (busy - self._busy) - (_own_seconds() - self._own)) / elapsed


def _busy_seconds() -> float | None:
    """Seconds of all processors that were not idle since boot, stolen time included."""
    try:
        first = _STATISTICS.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    columns = [int(column) for column in first.split()[1 : _GUEST_COLUMNS + 1]]
    ticks = sum(column for index, column in enumerate(columns) if index not in _IDLE_COLUMNS)
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
