"""Templates of reductions inside a kernel: along rows that lie in memory one after another, and across them."""

from __future__ import annotations

import re

from edgec.backends.tvm.schedules.kernel_schedule import Block, KernelSchedule, Loop, widest_divisor, worthwhile
from edgec.backends.tvm.schedules.ragged_rows import lengthen_rows

_FEWEST_LANES = 4
_REDUCTION = 2
_SHORT_ROW = 2
_SPLITTABLE = frozenset({"Add", "Mul", "Max", "Min"})


def reduces_last_axis(kernel: KernelSchedule, block: Block) -> bool:
    """Whether all neighbouring elements of what a reduction reads end up in the same sum."""
    details = kernel.schedule.get(block)
    axes = {str(variable.var.name): int(variable.iter_type) for variable in details.iter_vars}
    regions = [region.region for region in details.reads if len(region.region)]
    if not regions:
        return False
    widest = max(regions, key=len)
    names = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", str(widest[-1].min)))
    kinds = {axes[name] for name in names if name in axes}
    return kinds == {_REDUCTION}


def lengthen_ragged_rows(kernel: KernelSchedule) -> None:
    """Make the rows that are summed, and whose length no vector tiles, a multiple of a vector."""
    ragged = []
    lanes = 1
    for block in kernel.blocks():
        _, reduction = kernel.loops(block)
        if len(reduction) != 1 or not _is_splittable(kernel, block) or not reduces_last_axis(kernel, block):
            continue
        lanes = kernel.written_lanes(block)
        extent = kernel.extent(reduction[0])
        if lanes > 1 and extent > _SHORT_ROW * lanes and _fitting_width(extent, lanes) < lanes // 2:
            ragged.append((block, reduction[0]))
    if ragged:
        lengthen_rows(kernel, ragged, lanes)


def split_row_reduction(kernel: KernelSchedule, block: Block) -> None:
    """Sum the elements of a row in as many partial sums as fit a vector and tile the row, and then those.

    The partial sums become a block of their own, with the lanes as its last axis. A row whose length has no fitting
    divisor stays as it is.
    """
    spatial, reduction = kernel.loops(block)
    lanes = kernel.written_lanes(block)
    # TVM's rfactor fails on its own account where the result is a single element without an axis.
    if not _is_splittable(kernel, block) or lanes == 1 or not spatial:
        return
    last = reduction[-1]
    if len(reduction) > 1 and kernel.extent(last) < _SHORT_ROW * lanes:
        last = kernel.schedule.fuse(*reduction)
    width = _fitting_width(kernel.extent(last), lanes)
    if width < min(lanes, _FEWEST_LANES):
        return
    _, lane = kernel.schedule.split(last, [None, width])
    kernel.schedule.rfactor(lane, len(spatial))


def _fitting_width(extent: int, lanes: int) -> int:
    return max(count for count in range(1, lanes + 1) if extent % count == 0)


def _is_splittable(kernel: KernelSchedule, block: Block) -> bool:
    details = kernel.schedule.get(block)
    value = getattr(details.body, "value", None)
    return len(details.writes) == 1 and type(value).__name__ in _SPLITTABLE


def schedule_reduction(kernel: KernelSchedule, block: Block, inside: Loop | None) -> None:
    """Sum neighbouring elements of the result at once, a vector of them in registers over the whole reduction.

    A row whose sum has no neighbours is summed as it is.
    """
    spatial, reduction = kernel.loops(block, inside)
    wide = [loop for loop in spatial if kernel.extent(loop) > 1]
    lanes = kernel.written_lanes(block)
    if not wide or lanes == 1 or reduces_last_axis(kernel, block):
        if inside is None:
            kernel.parallel(spatial)
        return
    if inside is None:
        kernel.parallel(spatial[: spatial.index(wide[-1])])
    extent = kernel.extent(wide[-1])
    width = extent if extent <= lanes else widest_divisor(extent, lanes)
    ragged = not worthwhile(width, lanes) and extent > lanes
    around: list[Loop] = []
    lane = wide[-1]
    if extent != width:
        chunk, lane = kernel.schedule.split(lane, [None, lanes if ragged else width])
        around = [chunk]
    kernel.schedule.reorder(*around, *reduction, lane)
    kernel.vectorise(lane)
    if ragged:
        kernel.partition(around[0])
    kernel.partition(reduction[-1])
    start = kernel.schedule.decompose_reduction(block, reduction[0])
    kernel.vectorise(list(kernel.schedule.get_loops(start))[-1])
