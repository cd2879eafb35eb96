"""What a hardware artefact says about itself, `hardware.json`: what meters must know and no tool reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE_NAME = "hardware.json"
PLACED = "reports/place-and-route.json"
MAPPED = "reports/cells.json"
NETLIST = "netlist/mapped.json"
LIBERTY = "netlist/cells.lib"
SIMULATOR = "simulation/simulate"


class HardwareDescription(BaseModel):
    """A network in hardware.

    Attributes:
        architecture: `unrolled`, every product has adders of its own; `folded`, engines work through the layers.
        latency_cycles: clock cycles from the inputs to the outputs; None where the simulation tells.
        initiation_interval: clock cycles between two inferences; None likewise.
        clock_mhz: clock that was aimed at.
        bits: widest value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Literal["unrolled", "folded"]
    latency_cycles: int | None
    initiation_interval: int | None
    clock_mhz: float
    bits: int
