"""The template of long sums for few results: the threads of a group share each sum.

Every thread adds up its share in a register; the shares meet in shared memory, and are added once more. That
serves products of a matrix by a vector, whose weights all threads stream from memory, and averages over an image.
"""

from __future__ import annotations

from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.tvm.schedules.extrema import with_finite_starts, with_infinite_starts
from edgec.backends.tvm.schedules.kernel_schedule import Block, Loop, widest_divisor
from edgec.backends.tvm.schedules.producers_and_epilogues import divide
from edgec.backends.tvm.schedules.reduction import reduces_last_axis

_THREADS = 256
_RESULTS_OF_GROUP = 32
_MOST_RESULTS_A_UNIT = 4096
_FEWEST_SHARES = 4
_SPLITTABLE = frozenset({"Add", "Mul", "Max", "Min"})


def is_shared_sum(kernel: GpuSchedule, block: Block) -> bool:
    """Whether a sum has so few results that a thread for each would leave most of the device idle."""
    spatial, reduction = kernel.loops(block)
    details = kernel.schedule.get(block)
    attributes = kernel.function().attrs
    # All threads of a result store it: over one of its own operands, only one may.
    stored_once = attributes is not None and "tirx.noalias" in attributes
    results = _product(kernel, spatial)
    shares = _shares(kernel, block)[1]
    return (
        bool(reduction)
        and stored_once
        and len(details.writes) == 1
        and type(getattr(details.body, "value", None)).__name__ in _SPLITTABLE
        and shares >= _FEWEST_SHARES
        and results <= kernel.device.compute_units * _MOST_RESULTS_A_UNIT
    )


def schedule_shared_sum(kernel: GpuSchedule, name: str) -> None:
    """Schedule a kernel around one sum, given by the name of its block."""
    kernel.replace(with_finite_starts(kernel.function()))
    block = kernel.schedule.get_sblock(name)
    before, after = divide(kernel, block)
    kernel.inline_producers(before)
    for other in after[:-1]:
        kernel.schedule.compute_inline(other)
    epilogue = after[-1] if after else None
    results, shares = _shares(kernel, block)
    partial, group = _partial_sums(kernel, block, results, shares)
    _final_sums(kernel, block, epilogue, group)
    kernel.schedule.set_scope(partial, 0, "shared")
    kernel.replace(with_infinite_starts(kernel.function()))


def _product(kernel: GpuSchedule, loops: list[Loop]) -> int:
    total = 1
    for loop in loops:
        total *= kernel.extent(loop)
    return total


def _shares(kernel: GpuSchedule, block: Block) -> tuple[int, int]:
    """Results of a group, and threads that share each."""
    spatial, reduction = kernel.loops(block)
    threads = min(_THREADS, kernel.device.max_threads)
    last = kernel.extent(spatial[-1]) if spatial else 1
    results = 1 if reduces_last_axis(kernel, block) else widest_divisor(last, _RESULTS_OF_GROUP)
    depth = _product(kernel, reduction)
    return results, max(count for count in range(1, threads // results + 1) if depth % count == 0)


def _partial_sums(kernel: GpuSchedule, block: Block, results: int, shares: int) -> tuple[Block, Loop]:
    """Sums of a share each; gives their block, and the loop over groups of threads around the final sums."""
    schedule = kernel.schedule
    spatial, reduction = kernel.loops(block)
    everything = schedule.fuse(*spatial) if len(spatial) > 1 else (spatial or [schedule.add_unit_loop(block)])[0]
    depth = schedule.fuse(*reduction) if len(reduction) > 1 else reduction[0]
    schedule.split(everything, [None, results])
    _, share = schedule.split(depth, [None, shares])
    partial = schedule.rfactor(share, 0)
    group_of_partial, result_of_partial, *_ = schedule.get_loops(partial)
    loops = list(schedule.get_loops(partial))
    repeat, share = loops[2], loops[3]
    schedule.reorder(group_of_partial, share, result_of_partial, repeat)
    copy = schedule.cache_write(partial, 0, "local")
    kernel.bind(group_of_partial, "blockIdx.x")
    kernel.bind(share, "threadIdx.y")
    kernel.bind(result_of_partial, "threadIdx.x")
    schedule.reverse_compute_at(copy, result_of_partial, preserve_unit_loops=True)
    return copy, group_of_partial


def _final_sums(kernel: GpuSchedule, block: Block, epilogue: Block | None, group: Loop) -> None:
    """Sums of the shares, by all threads of a result alike, so that none of them waits for a check."""
    schedule = kernel.schedule
    schedule.reverse_compute_at(block, group, preserve_unit_loops=True)
    spatial, shares = kernel.loops(block, group)
    schedule.reorder(*spatial, *shares)
    thread = schedule.fuse(*spatial) if len(spatial) > 1 else spatial[0]
    kernel.bind(thread, "threadIdx.x")
    if epilogue is None:
        epilogue = schedule.cache_write(block, 0, "local")
    else:
        schedule.set_scope(block, 0, "local")
    schedule.reverse_compute_at(epilogue, thread, preserve_unit_loops=True)
