"""What lowering and schedules must know of a graphics processor, taken from the target's datasheet."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.backends.tvm.core_description import CoreDescription
from edgec.core.codes.internal import INTERNAL
from edgec.core.errors import EdgecError
from edgec.core.target import Target
from edgec.core.target_gpu import Gpu

LANES = 4
"""Elements that a thread loads, computes and stores together: 16 bytes of fp32, the widest access there is."""

_REGISTERS = 32
_CHANNEL_BLOCKS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Device:
    """A graphics processor as a kernel writer sees it.

    Attributes:
        max_threads: threads of a group.
        shared_bytes: memory that the threads of a group share.
        compute_units: groups that run at the same time, at least.
    """

    max_threads: int
    shared_bytes: int
    compute_units: int

    @classmethod
    def of(cls, target: Target) -> Device:
        """The device of a target."""
        gpu = gpu_of(target)
        return cls(
            max_threads=int(gpu.max_threads.value),
            shared_bytes=int(gpu.shared_memory_kib.value * 1024),
            compute_units=int(gpu.compute_units.value),
        )


def core_of(target: Target) -> CoreDescription:
    """What the lowering, which is shared with CPUs, picks layouts by.

    A thread computes as many neighbouring channels as a load brings; weights are packed in the blocks of channels that
    a group of threads computes. Winograd is left out by a memory that weights may not grow in.
    """
    gpu = gpu_of(target)
    return CoreDescription(
        float_lanes=LANES,
        vector_registers=_REGISTERS,
        dot_product=gpu.dot_product,
        l1_data_bytes=int(gpu.shared_memory_kib.value * 1024),
        l2_bytes=int(gpu.l2_kib.value * 1024),
        weight_memory_bytes=1,
        channel_blocks=_CHANNEL_BLOCKS,
    )


def gpu_of(target: Target) -> Gpu:
    """The datasheet of the graphics processor of a target."""
    if target.gpu is None:
        raise EdgecError(INTERNAL, f"the target {target.name} has no section [gpu]", hint=INTERNAL.remedy)
    return target.gpu
