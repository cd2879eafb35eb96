"""How much memory an engine takes: of this process, and as our artefact's report plans it."""

from __future__ import annotations

import ctypes
import gc
import json
import os
from pathlib import Path


def planned_bytes(folder: Path) -> dict[str, int] | None:
    """Weights, arena and code of our artefact, as its report states them; None for other engines."""
    report = folder / "artefact/report.json"
    return json.loads(report.read_text(encoding="utf-8"))["memory"] if report.is_file() else None


def give_back_freed_memory() -> None:
    """What reading the network for its inputs left behind; an engine would take it over, and seem to need less."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Resident memory of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
