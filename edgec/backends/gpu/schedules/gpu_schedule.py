"""The schedule of one kernel for a graphics processor, with names for what the templates ask of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from edgec.backends.gpu.byte_words import calls_functions_of_bytes
from edgec.backends.gpu.device import LANES, Device
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.schedules.kernel_schedule import Block, Function, KernelSchedule, Loop
from edgec.backends.tvm.stages import Role

_ROUNDING = "tirx.nearbyint"

Expression = Any
"""A TIR expression."""

IndexMapping = Callable[..., tuple[Expression, ...]]
"""From the axes of a block or a buffer to new ones."""


class GpuSchedule(KernelSchedule):
    """A schedule whose loops are bound to the threads of a graphics processor.

    Args:
        function: as te.create_prim_func made it.
        core: what the lowering picked layouts by.
        device: the graphics processor.
        vector: elements that an access may have at most; less than `LANES` where operands begin in between.
    """

    def __init__(self, function: Function, core: CoreDescription, device: Device, vector: int = LANES) -> None:
        self.device = device
        self.vector = vector
        super().__init__(function, core, 1)

    def bind(self, loop: Loop, axis: str) -> None:
        """Run the iterations of a loop on groups (`blockIdx.x`) or on the threads of a group (`threadIdx.x`)."""
        self.schedule.bind(loop, axis)

    def index_map(self, axes: int, mapping: IndexMapping, block: Block) -> Any:  # noqa: ANN401
        """A mapping as TVM wants it; its indices have the type of the block's."""
        from tvm.tirx import IndexMap

        iterators = self.schedule.get(block).iter_vars
        dtype = str(iterators[0].var.ty.dtype) if len(iterators) else "int32"
        return IndexMap.from_func(mapping, ndim=axes, index_dtype=dtype)

    def has_vector_form(self, block: Block) -> bool:
        """Whether TVM can vectorise what a block computes: not functions of bytes, nor rounding."""
        from tvm.ir import Call, Op
        from tvm_ffi import structural_walk

        body = self.schedule.get(block).body
        calls: list[Any] = []
        structural_walk(body, (Call, calls.append))
        rounds = any(isinstance(call.op, Op) and call.op.name == _ROUNDING for call in calls)
        return not rounds and not calls_functions_of_bytes(body)

    def vectorise_last(self, loop: Loop, block: Block) -> None:
        """Vectorise as many iterations of a block's last loop as an access may have, and unroll the others.

        What has no vector form is unrolled: TVM would write a loop, whose registers a compiler might put in memory.
        """
        width = math.gcd(self.extent(loop), self.vector) if self.has_vector_form(block) else 1
        if width > 1:
            outer, lane = self.schedule.split(loop, [None, width])
            self.schedule.vectorize(lane)
            self.unroll(outer)
        else:
            self.unroll(loop)

    def inline_producers(self, before: Sequence[Block]) -> None:
        """Compute what an anchor reads where it is read: borders, elementwise producers, packing."""
        for block in before:
            self.schedule.compute_inline(block)

    def join_epilogue(self, anchor: Block, after: Sequence[Block]) -> Block:
        """Fold the consumers of an anchor into one block; gives it, or the copy out of the accumulators."""
        for block in after[:-1]:
            self.schedule.compute_inline(block)
        if not after:
            return self.schedule.cache_write(anchor, 0, "local")
        self.schedule.set_scope(anchor, 0, "local")
        return after[-1]

    def anchor(self) -> tuple[Block, Role] | None:
        """The block that is a convolution or a matrix product, if there is one."""
        for block in self.blocks():
            role = self.role(block)
            if role in (Role.DENSE, Role.WINDOWED):
                return block, role
        return None


def fused(values: Sequence[Expression], extents: Sequence[int]) -> Expression:
    """Several axes as one, row-major; axes of a single index are left out, as TVM cannot invert them."""
    kept = [(value, extent) for value, extent in zip(values, extents, strict=True) if extent > 1]
    result, *others = kept or [(values[0], 1)]
    index = result[0]
    for value, extent in others:
        index = index * extent + value
    return index
