"""A TensorIR schedule of one kernel, with names for what the templates ask of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.register_tile import lanes_of
from edgec.backends.tvm.stages import Role, role_of

Function = Any
"""A TIR PrimFunc; TVM ships no types."""

Block = Any
"""A handle to a block of the schedule."""

Loop = Any
"""A handle to a loop of the schedule."""

Buffer = Any
"""A buffer that a block reads or writes."""

_REDUCTION = 2
_VECTOR_MINIMUM = 4
_BUSY = 0.95


class KernelSchedule:
    """The schedule of a function with one kernel.

    Args:
        function: as te.create_prim_func made it.
        core: the core that runs it.
        threads: how many threads share a kernel.
    """

    def __init__(self, function: Function, core: CoreDescription, threads: int) -> None:
        self.core = core
        self.threads = threads
        self.replace(function)

    def replace(self, function: Function) -> None:
        """Go on with another form of the function; handles got before are void."""
        import tvm
        from tvm import s_tir

        self.schedule = s_tir.Schedule(tvm.IRModule({"main": function}))

    def name(self, block: Block) -> str:
        """The name of a block, unique in the kernel."""
        return str(self.schedule.get(block).name_hint)

    def function(self) -> Function:
        """The function as scheduled so far."""
        return self.schedule.mod["main"]

    def blocks(self) -> list[Block]:
        """The blocks in order of execution."""
        return list(self.schedule.get_child_blocks(self.schedule.get_sblock("root")))

    def position(self, block: Block) -> int:
        """The place of a block among all."""
        wanted = self.schedule.get(block)
        return next(index for index, other in enumerate(self.blocks()) if self.schedule.get(other).same_as(wanted))

    def extent(self, loop: Loop) -> int:
        """Iterations of a loop."""
        return int(self.schedule.get(loop).extent)

    def role(self, block: Block) -> Role | None:
        """The role that the operator declared."""
        return role_of(self.schedule.get(block).annotations)

    def depth(self, loops: Sequence[Loop], wanted: Loop) -> int:
        """The place of a loop among others, which may be other handles to it."""
        target = self.schedule.get(wanted)
        return next(index for index, loop in enumerate(loops) if self.schedule.get(loop).same_as(target))

    def loops(self, block: Block, inside: Loop | None = None) -> tuple[list[Loop], list[Loop]]:
        """The spatial loops and the reduction loops around a block, those inside of `inside` only if that is given."""
        from tvm.ir import Var
        from tvm_ffi import structural_walk

        loops = list(self.schedule.get_loops(block))
        if inside is not None:
            loops = loops[self.depth(loops, inside) + 1 :]
        details = self.schedule.get(block)
        summed: list[Any] = []
        for variable, value in zip(details.iter_vars, self._bindings(block), strict=True):
            if int(variable.iter_type) == _REDUCTION:
                structural_walk(value, (Var, summed.append))
        spatial: list[Loop] = []
        reduction: list[Loop] = []
        for loop in loops:
            own = self.schedule.get(loop).loop_var
            (reduction if any(own.same_as(other) for other in summed) else spatial).append(loop)
        return spatial, reduction

    def _bindings(self, block: Block) -> list[Any]:
        """What the axes of a block are set to by the loops around it."""
        parent = self.schedule.get_sref(block).parent.stmt
        inner = getattr(parent, "body", None)
        parts = getattr(inner, "seq", [inner])
        details = self.schedule.get(block)
        realize = next(
            part for part in parts if getattr(part, "block", None) is not None and part.block.same_as(details)
        )
        return list(realize.iter_values)

    def is_output(self, block: Block) -> bool:
        """Whether a block writes a parameter of the function."""
        parameters = list(self.function().params)
        return any(
            region.source.same_as(parameter) for region in self.schedule.get(block).writes for parameter in parameters
        )

    def reads_as_it_writes(self, block: Block) -> bool:
        """Whether each element read has the shape, the indices and the place in memory of the element written."""
        from tvm_ffi import structural_equal

        details = self.schedule.get(block)
        written = details.writes[0]
        return not written.source.ty.strides and all(
            not region.source.ty.strides
            and structural_equal(region.source.ty.shape, written.source.ty.shape)
            and structural_equal(region.region, written.region)
            for region in details.reads
        )

    def written_shape(self, block: Block) -> list[int]:
        """The shape of the first buffer that a block writes."""
        return [int(extent) for extent in self.schedule.get(block).writes[0].source.ty.shape]

    def size_of_body(self, block: Block) -> int:
        """Nodes of the expression that a block computes."""
        from tvm_ffi import structural_walk

        count = 0

        def visit(_node: object) -> None:
            nonlocal count
            count += 1

        structural_walk(getattr(self.schedule.get(block).body, "value", None), visit)
        return count

    def written_lanes(self, block: Block) -> int:
        """Elements of the first written buffer's dtype in a vector register."""
        return lanes_of(self.core, self.item_bytes(block))

    def item_bytes(self, block: Block) -> int:
        """Bytes of an element of the first written buffer."""
        return bytes_of(self.schedule.get(block).writes[0].source)

    def parallel(self, loops: Sequence[Loop]) -> list[Loop]:
        """Where there are threads to share them, fuse loops and run the result in parallel; gives what they became."""
        if self.threads == 1 or not loops:
            return list(loops)
        fused = self.schedule.fuse(*loops) if len(loops) > 1 else loops[0]
        if self.extent(fused) > 1:
            self.schedule.parallel(fused)
        return [fused]

    def busy_share(self, loops: Sequence[Loop]) -> float:
        """The share of the threads' time that is used where they share the iterations of these loops."""
        pieces = math.prod(self.extent(loop) for loop in loops)
        return pieces / (math.ceil(pieces / self.threads) * self.threads)

    def loops_to_share(self, loops: Sequence[Loop], inside: Sequence[Loop]) -> int:
        """How many of the loops inside of some must be shared along with these to keep the threads busy."""
        shares = [self.busy_share([*loops, *inside[:count]]) for count in range(len(inside) + 1)]
        return next((count for count, share in enumerate(shares) if share >= _BUSY), shares.index(max(shares)))

    def vectorise(self, loop: Loop) -> None:
        """Vectorise a loop, unless it has a single iteration or the core has no vectors."""
        if self.core.float_lanes > 1 and self.extent(loop) > 1:
            self.schedule.vectorize(loop)

    def unroll(self, loop: Loop) -> None:
        """Unroll a loop of more than one iteration."""
        if self.extent(loop) > 1:
            self.schedule.unroll(loop)

    def partition(self, loop: Loop) -> None:
        """Have the iterations of a loop that need bounds checks split off, so that the others run without."""
        self.schedule.annotate(loop, "pragma_loop_partition_hint", 1)


def bytes_of(buffer: Buffer) -> int:
    """Bytes of an element of a buffer."""
    digits = "".join(character for character in str(buffer.dtype) if character.isdigit())
    return max(1, int(digits or 8) // 8)


def elements_of(buffer: Buffer) -> int:
    """Elements of a buffer."""
    return math.prod(int(extent) for extent in buffer.ty.shape)


def widest_divisor(extent: int, lanes: int) -> int:
    """The largest power of two that divides `extent` and is at most `lanes`."""
    return min(extent & -extent, lanes) if extent else 1


def worthwhile(width: int, lanes: int) -> bool:
    """Whether vectors of `width` are wide enough to be preferred to checked vectors of `lanes`."""
    return width >= min(lanes, _VECTOR_MINIMUM)
