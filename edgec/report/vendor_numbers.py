"""What a vendor's synthesis estimates of a circuit, whichever vendor's it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgec.core.codes.hls import VENDOR_REPORT
from edgec.core.errors import EdgecError


@dataclass(frozen=True)
class VendorReport:
    """What the vendor's synthesis estimates of the top function.

    Attributes:
        version: of the tool.
        clock_ns: clock period that the circuit reaches; None, as all others, where the tool does not know.
        best_cycles: least cycles of an inference.
        worst_cycles: most cycles.
        interval: cycles between two inferences.
        luts: look-up tables.
        flip_flops: registers.
        dsps: multiplier blocks.
        block_ram_kbit: block and ultra memory.
        unknown: why a number is None.
    """

    version: str
    clock_ns: float | None
    best_cycles: int | None
    worst_cycles: int | None
    interval: int | None
    luts: int | None
    flip_flops: int | None
    dsps: int | None
    block_ram_kbit: int | None
    unknown: str = "a loop without a fixed bound"


def unreadable(path: Path, reason: str) -> EdgecError:
    """EC1303 for a report that cannot be read."""
    return EdgecError(VENDOR_REPORT, reason, where=str(path), hint=VENDOR_REPORT.remedy)
