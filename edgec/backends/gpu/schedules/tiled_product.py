"""The template of contractions: matrix products, and convolutions as matrix products of positions by channels.

A group of threads computes a tile of the output. For each piece of the reduction it copies what that tile needs to
shared memory, each element once; then every thread multiplies its own part of the tile from registers. The patches of a
convolution exist in shared memory only (implicit GEMM: Chetlur et al., "cuDNN", 2014, section 3.2).
"""

from __future__ import annotations

import math

from edgec.backends.gpu.device import LANES
from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.gpu.schedules.matrix_form import ContractionAxes, MatrixProduct, as_matrix_product
from edgec.backends.gpu.schedules.product_tile import ProductTile, choose_product_tile
from edgec.backends.tvm.schedules.kernel_schedule import Block, Loop, bytes_of

_BANKS = 32
_MOST_UNROLLED_COPIES = 2


def schedule_tiled_product(kernel: GpuSchedule, anchor: Block, axes: ContractionAxes) -> None:
    """Schedule a kernel around a contraction."""
    item_bytes = max(bytes_of(region.source) for region in kernel.schedule.get(anchor).reads)
    product = as_matrix_product(kernel, anchor, axes)
    tile = choose_product_tile(product.batch, product.rows, product.columns, product.depth, kernel.device, item_bytes)
    left, right = _pad(kernel, product, tile)
    _store_by_columns(kernel, left, product.batch_axes)
    piece, thread = _tile(kernel, product, tile)
    kernel.schedule.set_scope(product.anchor, 0, "local")
    kernel.schedule.reverse_compute_at(product.epilogue, thread, preserve_unit_loops=True)
    *_, row, column = kernel.schedule.get_loops(product.epilogue)
    kernel.unroll(row)
    kernel.vectorise_last(column, product.epilogue)
    for side in (left, right):
        _fetch(kernel, side, piece, tile)
    start = kernel.schedule.decompose_reduction(product.anchor, piece)
    *_, row, column = kernel.schedule.get_loops(start)
    kernel.unroll(row)
    kernel.vectorise_last(column, start)


def _pad(kernel: GpuSchedule, product: MatrixProduct, tile: ProductTile) -> tuple[Block, Block]:
    """Fill the sides up to whole tiles, with zeros where they are copied; gives the blocks that copy them."""
    schedule = kernel.schedule
    wanted = (product.rows, tile.rows), (product.columns, tile.columns), (product.depth, tile.depth)
    rows, columns, depth = (size % part != 0 for size, part in wanted)
    if not (rows or columns or depth):
        return product.left, product.right
    schedule.pad_einsum(product.anchor, [*[1] * product.batch_axes, tile.rows, tile.columns, tile.depth])
    if rows or columns:
        (copy_out,) = schedule.get_consumers(product.anchor)
        if kernel.name(copy_out) != kernel.name(product.epilogue):
            schedule.compute_inline(copy_out)
    sides = []
    for side, padded in ((product.left, rows or depth), (product.right, columns or depth)):
        if padded:
            (filled,) = schedule.get_consumers(side)
            schedule.compute_inline(side)
            sides.append(filled)
        else:
            sides.append(side)
    return sides[0], sides[1]


def _store_by_columns(kernel: GpuSchedule, left: Block, batch_axes: int) -> None:
    """Store the left side transposed, so that a thread reads neighbouring rows at once."""
    if batch_axes:
        mapping = kernel.index_map(3, lambda b, m, k: (b, k, m), left)
    else:
        mapping = kernel.index_map(2, lambda m, k: (k, m), left)
    kernel.schedule.transform_layout(left, ("write", 0), mapping)
    # Threads that store one row's neighbours would meet in one bank of the memory.
    kernel.schedule.storage_align(left, 0, -2, _BANKS, LANES)


def _tile(kernel: GpuSchedule, product: MatrixProduct, tile: ProductTile) -> tuple[Loop, Loop]:
    """Distribute the loops of the sums; gives the loop over pieces of the depth, and the innermost one of threads."""
    schedule, anchor = kernel.schedule, product.anchor
    *batch, m, n, k = schedule.get_loops(anchor)
    across, along = tile.threads
    group_row, thread_row, row = schedule.split(m, [None, along, tile.thread_rows])
    group_column, thread_column, column = schedule.split(n, [None, across, tile.thread_columns])
    # Unrolling whole pieces would make sources of megabytes; a few steps are enough to overlap loads with arithmetic.
    piece, steps, step = schedule.split(k, [None, tile.depth // tile.unrolled, tile.unrolled])
    schedule.reorder(*batch, group_row, group_column, thread_row, thread_column, piece, steps, step, row, column)
    for loop, axis in zip(batch, ["blockIdx.z"], strict=False):
        kernel.bind(loop, axis)
    kernel.bind(group_row, "blockIdx.y")
    kernel.bind(group_column, "blockIdx.x")
    kernel.bind(thread_row, "threadIdx.y")
    kernel.bind(thread_column, "threadIdx.x")
    for index, span in ((0, tile.thread_rows), (1, tile.thread_columns)):
        copy = schedule.cache_read(anchor, index, "local")
        schedule.compute_at(copy, step, preserve_unit_loops=True)
        axis = next(loop for loop in reversed(schedule.get_loops(copy)) if kernel.extent(loop) == span)
        kernel.vectorise_last(axis, copy)
    for loop in (step, row):
        kernel.unroll(loop)
    kernel.vectorise_last(column, anchor)
    return piece, thread_column


def _fetch(kernel: GpuSchedule, side: Block, piece: Loop, tile: ProductTile) -> None:
    """Copy a side's piece to shared memory, all threads together; neighbours copy what lies side by side."""
    schedule = kernel.schedule
    schedule.set_scope(side, 0, "shared")
    schedule.compute_at(side, piece, preserve_unit_loops=True)
    outer, inner = list(schedule.get_loops(side))[-2:]
    width = math.gcd(kernel.extent(inner), kernel.vector)
    across, along = tile.threads
    together = schedule.fuse(outer, inner)
    if kernel.extent(together) % (across * along * width) or not kernel.has_vector_form(side):
        width = 1
    repeat, thread_row, thread_column, lane = schedule.split(together, [None, along, across, width])
    kernel.bind(thread_row, "threadIdx.y")
    kernel.bind(thread_column, "threadIdx.x")
    if kernel.extent(repeat) <= _MOST_UNROLLED_COPIES:
        kernel.unroll(repeat)
    if width > 1:
        schedule.vectorize(lane)
