"""Choice of the tile of a matrix product on a graphics processor.

A larger tile of a group reads less from memory for each multiplication, a larger part for each thread reads less from
shared memory, and both leave fewer threads at work and waste more at the borders. The factors were set by hand from
the widths of the paths to registers, shared memory and cache; no script derives them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from edgec.backends.gpu.device import LANES, Device

_ROWS_OF_GROUP = (16, 32, 64, 128)
_COLUMNS_OF_GROUP = (8, 16, 32, 64, 128)
_ROWS_OF_THREAD = (2, 4, 8)
_DEPTHS = (16, 8, 32)
_UNROLLED = (2, 3, 1)
_LONGEST_SINGLE_DEPTH = 36
_FEWEST_THREADS = 32
_MOST_THREADS = 256
_THREADS_THAT_FILL_A_UNIT = 256
_SHARED_LOAD = 1.0
_MEMORY_LOAD = 16.0


@dataclass(frozen=True)
class ProductTile:
    """A tile of the output of a matrix product.

    Attributes:
        rows: of a group of threads.
        columns: of a group of threads.
        depth: of the piece of both sides that lies in shared memory.
        thread_rows: of a thread.
        thread_columns: of a thread; one access.
    """

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int

    @property
    def unrolled(self) -> int:
        """Steps of the depth that are written out one after another."""
        return next(count for count in _UNROLLED if self.depth % count == 0)

    @property
    def threads(self) -> tuple[int, int]:
        """Threads of a group along columns and along rows."""
        return self.columns // self.thread_columns, self.rows // self.thread_rows


def choose_product_tile(
    batch: int, rows: int, columns: int, depth: int, device: Device, item_bytes: int
) -> ProductTile:
    """The tile for a stack of `batch` products of (rows, depth) by (depth, columns)."""
    best: tuple[float, ProductTile] | None = None
    piece = _depth(depth)
    for group_rows, group_columns, thread_rows in itertools.product(_ROWS_OF_GROUP, _COLUMNS_OF_GROUP, _ROWS_OF_THREAD):
        tile = ProductTile(group_rows, group_columns, piece, thread_rows, LANES)
        threads = math.prod(tile.threads)
        shared = (group_rows + group_columns) * piece * item_bytes
        fits = _FEWEST_THREADS <= threads <= min(_MOST_THREADS, device.max_threads)
        if not fits or 2 * shared > device.shared_bytes:
            continue
        cost = _cost(batch, rows, columns, tile, device)
        if best is None or cost < best[0]:
            best = cost, tile
    return best[1] if best else ProductTile(16, 16, 8, 2, LANES)


def _depth(depth: int) -> int:
    """The piece of the sum: all of a short one, else the first that wastes least at the end."""
    if depth <= _LONGEST_SINGLE_DEPTH:
        return depth
    return min(_DEPTHS, key=lambda piece: math.ceil(depth / piece) * piece)


def _cost(batch: int, rows: int, columns: int, tile: ProductTile, device: Device) -> float:
    work = batch * math.ceil(rows / tile.rows) * tile.rows * math.ceil(columns / tile.columns) * tile.columns
    threads = batch * math.ceil(rows / tile.thread_rows) * math.ceil(columns / tile.thread_columns)
    by_thread = 1 / tile.thread_rows + 1 / tile.thread_columns
    by_group = 1 / tile.rows + 1 / tile.columns
    idle = device.compute_units * _THREADS_THAT_FILL_A_UNIT / threads
    return work * (1 + (_SHARED_LOAD * by_thread + _MEMORY_LOAD * by_group) / LANES) * max(1.0, idle)
