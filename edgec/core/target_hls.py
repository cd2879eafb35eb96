"""The section `[hls]` of a datasheet: a device whose vendor's high-level synthesis makes the circuit."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgec.core.target_quantity import Quantity


class HlsTool(StrEnum):
    """A vendor's high-level synthesis, by hls4ml's name of its backend."""

    VITIS = "Vitis"
    VIVADO = "Vivado"
    QUARTUS = "Quartus"
    ONEAPI = "oneAPI"
    CATAPULT = "Catapult"


class Hls(BaseModel):
    """A device, the tool that serves it, and how the network is built.

    Attributes:
        tool: the vendor's high-level synthesis.
        part: the device's name for the tool.
        clock_mhz: clock that the circuit is made for.
        strategy: `latency` unrolls every product, `resource` keeps weights in memory and reuses multipliers.
        reuse_factor: products that share a multiplier.
        io: `parallel` hands over all elements at once, `stream` one pixel after the other.
        luts: look-up tables of the device.
        flip_flops: registers.
        dsps: multiplier blocks.
        block_ram_kbit: block memory, kilobits (1024).
        board_w: power of the whole board while it runs; absent where nobody measured it.
        types: types by ONNX node, as `fixed<8,3>`, that replace those that edgec derives for results and sums.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: HlsTool
    part: str
    clock_mhz: Quantity
    strategy: Literal["latency", "resource"] = "latency"
    reuse_factor: int = Field(default=1, ge=1)
    io: Literal["parallel", "stream"] = "parallel"
    luts: Quantity
    flip_flops: Quantity
    dsps: Quantity
    block_ram_kbit: Quantity
    board_w: Quantity | None = None
    types: Mapping[str, str] = {}
