"""The template of kernels without shared work: one thread for each few neighbouring elements of a result."""

from __future__ import annotations

import math
from collections.abc import Collection

from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.tvm.schedules.injective import own_loops
from edgec.backends.tvm.schedules.kernel_schedule import Block, Loop
from edgec.backends.tvm.schedules.producers_and_epilogues import divide

_THREADS = 128
_STEP = 32
_CHEAP_NODES = 24
_MOST_UNROLLED = 64
_ROWS = (4, 2, 1)


def schedule_per_element(kernel: GpuSchedule) -> None:
    """Schedule each computation that cannot be folded into the next by itself; sums run inside of a thread."""
    inline_cheap(kernel)
    finished: set[str] = set()
    for block in kernel.blocks():
        spatial, reduction = kernel.loops(block)
        if kernel.name(block) in finished:
            continue
        if reduction:
            finished.add(schedule_window(kernel, block, finished))
        elif spatial:
            _elements(kernel, block)
        else:
            one_thread(kernel, block)


def schedule_plainly(kernel: GpuSchedule) -> None:
    """Schedule each computation by itself, a thread for each element; sums build up in device memory."""
    for block in kernel.blocks():
        spatial, _ = kernel.loops(block)
        if spatial:
            distribute(kernel, spatial)
        else:
            one_thread(kernel, block)


def inline_cheap(kernel: GpuSchedule) -> None:
    """Fold computations without sums into their readers, unless that repeats an expensive one."""
    for block in kernel.blocks():
        if kernel.loops(block)[1] or kernel.is_output(block) or not hasattr(kernel.schedule.get(block).body, "value"):
            continue
        consumers = list(kernel.schedule.get_consumers(block))
        again = len(consumers) > 1 or any(kernel.loops(consumer)[1] for consumer in consumers)
        if consumers and (not again or kernel.size_of_body(block) <= _CHEAP_NODES):
            kernel.schedule.compute_inline(block)


def one_thread(kernel: GpuSchedule, block: Block) -> None:
    """Run a block on a single thread."""
    loops = list(kernel.schedule.get_loops(block))
    kernel.bind(kernel.schedule.add_unit_loop(loops[0] if loops else block), "threadIdx.x")


def distribute(kernel: GpuSchedule, loops: list[Loop]) -> None:
    """Give the iterations of some loops to threads, neighbours to neighbours."""
    together = kernel.schedule.fuse(*loops) if len(loops) > 1 else loops[0]
    threads = min(_THREADS, kernel.device.max_threads, kernel.extent(together))
    group, thread = kernel.schedule.split(together, [None, threads])
    kernel.bind(group, "blockIdx.x")
    kernel.bind(thread, "threadIdx.x")


def distribute_evenly(kernel: GpuSchedule, loops: list[Loop]) -> Loop:
    """Give the iterations of some loops to threads, a box of them to each group; the loop over threads of a group.

    No group has idle threads: TVM cannot move a sum into a loop that needs a check, nor into boxes that wrap around.
    """
    shares = _box([kernel.extent(loop) for loop in loops], min(2 * _THREADS, kernel.device.max_threads))
    groups, threads = [], []
    for loop, share in zip(loops, shares, strict=True):
        group, thread = kernel.schedule.split(loop, [None, share])
        groups.append(group)
        threads.append(thread)
    kernel.schedule.reorder(*groups, *threads)
    kernel.bind(kernel.schedule.fuse(*groups) if len(groups) > 1 else groups[0], "blockIdx.x")
    thread = kernel.schedule.fuse(*threads) if len(threads) > 1 else threads[0]
    kernel.bind(thread, "threadIdx.x")
    return thread


def _box(extents: list[int], most: int) -> list[int]:
    """Divisors of some extents whose product keeps most of the threads busy that execute together.

    The last extents, along which memory is read, go first.
    """
    boxes: dict[int, list[int]] = {1: []}
    for extent in reversed(extents):
        divisors = [count for count in range(extent, 0, -1) if extent % count == 0]
        grown: dict[int, list[int]] = {}
        for size, box in boxes.items():
            for count in divisors:
                if size * count <= most:
                    grown.setdefault(size * count, [count, *box])
        boxes = grown
    best = max(boxes, key=lambda size: (min(size, _STEP) * size / (-(-size // _STEP) * _STEP), size))
    return boxes[best]


def _elements(kernel: GpuSchedule, block: Block) -> None:
    loops = own_loops(kernel, block, None)
    if kernel.reads_as_it_writes(block) and len(loops) > 1:
        loops = [kernel.schedule.fuse(*loops)]
    *outer, last = loops
    width = math.gcd(kernel.extent(last), kernel.vector)
    if width > 1:
        chunk, lane = kernel.schedule.split(last, [None, width])
        kernel.schedule.vectorize(lane)
        last = chunk
    distribute(kernel, [*outer, last])


def schedule_window(kernel: GpuSchedule, block: Block, finished: Collection[str] = ()) -> str:
    """A sum in each thread: a window of pooling or of a depthwise convolution, the channels of a group.

    A thread computes neighbouring channels, and neighbouring positions along the last spatial axis, which share loads.
    Gives the name of the block that stores the results; `finished` are such blocks of the kernel's earlier sums.
    """
    schedule = kernel.schedule
    before, after = divide(kernel, block)
    kernel.inline_producers(
        [other for other in before if not kernel.loops(other)[1] and kernel.name(other) not in finished]
    )
    alone = any(kernel.is_output(other) for other in after[:-1]) or any(kernel.loops(other)[1] for other in after)
    epilogue = kernel.join_epilogue(block, [] if alone else after)
    *outer, channel = list(schedule.get_loops(epilogue)) or [schedule.add_unit_loop(epilogue)]
    width = math.gcd(kernel.extent(channel), kernel.vector)
    chunk, lane = schedule.split(channel, [None, width])
    rows = _rows(kernel, outer)
    inner = [lane]
    if rows > 1:
        column, row = schedule.split(outer[-1], [None, rows])
        outer, inner = [*outer[:-1], column], [row, lane]
        schedule.reorder(*outer, chunk, *inner)
        kernel.unroll(row)
    thread = distribute_evenly(kernel, [*outer, chunk])
    schedule.compute_at(block, thread, preserve_unit_loops=True)
    kernel.vectorise_last(lane, epilogue)
    _sum(kernel, block, thread)
    return kernel.name(epilogue)


def _rows(kernel: GpuSchedule, outer: list[Loop]) -> int:
    """Positions of a thread: as many as leave every unit some groups."""
    if len(outer) < 2:
        return 1
    positions = math.prod(kernel.extent(loop) for loop in outer)
    wanted = kernel.device.compute_units * _THREADS
    extent = kernel.extent(outer[-1])
    return next(count for count in _ROWS if count == 1 or (extent % count == 0 and positions // count >= wanted))


def _sum(kernel: GpuSchedule, block: Block, thread: Loop) -> None:
    spatial, reduction = kernel.loops(block, thread)
    *rows, lane = spatial
    kernel.schedule.reorder(*reduction, *rows, lane)
    if math.prod(kernel.extent(loop) for loop in (*reduction, *rows)) <= _MOST_UNROLLED:
        for loop in (*reduction, *rows):
            kernel.unroll(loop)
    else:
        for loop in rows:
            kernel.unroll(loop)
    kernel.vectorise_last(lane, block)
    start = kernel.schedule.decompose_reduction(block, reduction[0])
    *rows, lane = kernel.loops(start, thread)[0]
    for loop in rows:
        kernel.unroll(loop)
