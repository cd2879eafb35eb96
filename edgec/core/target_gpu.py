"""The section `[gpu]` of a datasheet: a graphics processor that runs the kernels."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgec.core.target_quantity import Quantity


class Gpu(BaseModel):
    """A graphics processor.

    Attributes:
        api: how it is programmed: CUDA C through NVIDIA's driver, or OpenCL C.
        architecture: the vendor's name of the instruction set, `sm_53`; for OpenCL the family, or `generic`.
        compute_units: streaming multiprocessors (CUDA), compute units (OpenCL).
        fma_per_cycle: fp32 multiply-accumulates a compute unit retires per cycle.
        clock_mhz: sustained clock.
        lanes_in_step: threads that execute one instruction together (a warp, a wave).
        registers: 32-bit registers of a compute unit.
        shared_memory_kib: memory that the threads of a group may share, per group.
        max_threads: threads of a group.
        l2_kib: cache that all compute units share.
        launch_us: time from the end of a kernel to the start of the next.
        dot_product: the instruction that multiplies int8 and adds into int32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: Literal["cuda", "opencl"]
    architecture: str
    compute_units: Quantity
    fma_per_cycle: Quantity
    clock_mhz: Quantity
    lanes_in_step: Quantity
    registers: Quantity
    shared_memory_kib: Quantity
    max_threads: Quantity
    l2_kib: Quantity
    launch_us: Quantity
    dot_product: Literal["none", "dp4a"] = "none"
