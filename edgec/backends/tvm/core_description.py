"""What the kernels must know of the core they run on, taken from the target's datasheet."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

from edgec.core.target import Target

_TYPICAL_BYTES_PER_MULTIPLY = 4.0


@dataclass(frozen=True)
class CoreDescription:
    """The core as a kernel writer sees it.

    Attributes:
        float_lanes: fp32 elements of a vector register; 1 without a vector unit.
        vector_registers: registers that a kernel may use.
        dot_product: instruction that multiplies int8 and adds into int32 lanes.
        l1_data_bytes: level 1 data cache.
        l2_bytes: level 2 cache; 0 if there is none.
        multiplies_pairs: whether an instruction multiplies int16 and adds neighbouring products into int32 lanes, as
            x86 does (pmaddwd).
        multiplies_by_lane: whether the fp32 multiply-add takes one lane of a vector as a factor for all lanes, as
            64-bit Arm does (fmla by element).
        multiplies_halves: whether the vector multiply-add exists for fp16, with twice the lanes of fp32.
        memory_bytes_per_multiply: bytes that memory delivers in the time of a vector multiply-add.
        weight_memory_bytes: size of the memory that holds the weights, flash where there is some; 0 if unknown.
        channel_blocks: numbers of output channels that a group of threads can compute together, on a graphics
            processor; empty where one thread computes what its registers hold.
    """

    float_lanes: int
    vector_registers: int
    dot_product: Literal["none", "sdot", "vnni", "dp4a"]
    l1_data_bytes: int
    l2_bytes: int
    multiplies_pairs: bool = False
    multiplies_by_lane: bool = False
    multiplies_halves: bool = False
    memory_bytes_per_multiply: float = _TYPICAL_BYTES_PER_MULTIPLY
    weight_memory_bytes: int = 0
    channel_blocks: tuple[int, ...] = ()

    @classmethod
    def of(cls, target: Target) -> CoreDescription:
        """The description of a target's core."""
        core = target.core
        lanes = max(1, int(core.vector_bits.value) // 32)
        return cls(
            float_lanes=lanes,
            vector_registers=int(core.vector_registers.value),
            dot_product=core.dot_product,
            l1_data_bytes=int(core.l1_data_kib.value * 1024),
            l2_bytes=int(core.l2_kib.value * 1024) if core.l2_kib else 0,
            multiplies_pairs=_machine(target).startswith(("x86_64", "amd64")),
            multiplies_by_lane=_machine(target).startswith(("aarch64", "arm64")),
            multiplies_halves=target.compiler.computes_in_half,
            memory_bytes_per_multiply=_memory_bytes_per_multiply(target, lanes),
            weight_memory_bytes=int((target.memory.flash_mib or target.memory.size_mib).value * 2**20),
        )


def _machine(target: Target) -> str:
    triple = target.compiler.triple
    return (platform.machine() if triple == "native" else triple).lower()


def _memory_bytes_per_multiply(target: Target, lanes: int) -> float:
    """From the datasheet; this machine's clock is read anew each time, and two builds must not differ by it."""
    core = target.core
    if target.compiler.triple == "native":
        return _TYPICAL_BYTES_PER_MULTIPLY
    multiplies_per_second = core.clock_mhz.value * 1e6 * core.fma_per_cycle.value / lanes
    return float(target.memory.bandwidth_gbps.value * 1e9 / multiplies_per_second)
