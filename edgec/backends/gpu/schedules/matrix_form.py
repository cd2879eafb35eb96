"""Contractions in the form of matrix products: one axis each for rows, columns and depth, and one for a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgec.backends.gpu.schedules.gpu_schedule import Expression, GpuSchedule, fused
from edgec.backends.tvm.schedules.kernel_schedule import Block
from edgec.backends.tvm.schedules.producers_and_epilogues import divide

_REDUCTION = 2

Axes = tuple[int, ...]
"""Positions among the axes of a contraction's block."""


@dataclass(frozen=True)
class ContractionAxes:
    """The axes of a contraction by what they index.

    Attributes:
        extents: of all axes.
        batch: those of the result that index both sides; empty if there are none of more than one index.
        rows: those of the result that index the left side.
        columns: those of the result that index the right side.
        depth: those that are summed over.
    """

    extents: tuple[int, ...]
    batch: Axes
    rows: Axes
    columns: Axes
    depth: Axes

    def extent(self, axes: Axes) -> int:
        """Of some axes together."""
        return math.prod(self.extents[axis] for axis in axes)


@dataclass(frozen=True)
class MatrixProduct:
    """A contraction in the form of a matrix product; a batch axis comes first, where there is one.

    Attributes:
        anchor: the block of the sums, over (rows, columns, depth).
        left: the block that arranges the left side as (rows, depth).
        right: the block that arranges the right side as (depth, columns).
        epilogue: the block that stores results, over (rows, columns).
        batch: extent of the batch axis; 1 if there is none.
        rows: extent.
        columns: extent, surplus columns included.
        depth: extent.
    """

    anchor: Block
    left: Block
    right: Block
    epilogue: Block
    batch: int
    rows: int
    columns: int
    depth: int

    @property
    def batch_axes(self) -> int:
        """Leading axes of all blocks that are a batch: one or none."""
        return 1 if self.batch > 1 else 0


def contraction_axes(kernel: GpuSchedule, anchor: Block) -> ContractionAxes | None:
    """The axes of a contraction; None if an axis other than the batch's indexes both sides, as groups do."""
    details = kernel.schedule.get(anchor)
    if len(details.reads) != 2:
        return None
    variables = [axis.var for axis in details.iter_vars]
    extents = tuple(int(axis.dom.extent) for axis in details.iter_vars)
    depth = tuple(place for place, axis in enumerate(details.iter_vars) if int(axis.iter_type) == _REDUCTION)
    left, right = (_indexing(region, variables) for region in details.reads)
    spatial = [place for place in range(len(extents)) if place not in depth]
    both = tuple(place for place in spatial if place in left and place in right and extents[place] > 1)
    columns = tuple(place for place in spatial if place in right and place not in left)
    if any(place >= len(spatial) - 2 for place in both) or not columns:
        return None
    rows = tuple(place for place in spatial if place not in both and place not in columns)
    return ContractionAxes(extents, both, rows, columns, depth)


def as_matrix_product(kernel: GpuSchedule, anchor: Block, axes: ContractionAxes) -> MatrixProduct:
    """Bring a contraction to the form of a matrix product; what it reads is computed where it is read."""
    schedule = kernel.schedule
    before, after = divide(kernel, anchor)
    left, right = schedule.reindex(anchor, ("read", 0)), schedule.reindex(anchor, ("read", 1))
    epilogue = schedule.reindex(anchor, ("write", 0))
    kernel.inline_producers(before)
    for block in after[:-1]:
        schedule.compute_inline(block)
    if after:
        schedule.compute_inline(epilogue)
        epilogue = after[-1]
    batch = (axes.batch,) if axes.batch else ()
    spatial = tuple(place for place in range(len(axes.extents)) if place not in axes.depth)
    forms = ((left, 0, (*batch, axes.rows, axes.depth)), (right, 1, (*batch, axes.depth, axes.columns)))
    present = [_order_of_indices(kernel, anchor, side) for side in (0, 1)]
    for block, side, groups in forms:
        mapping = _mapping(kernel, block, axes, present[side], groups)
        schedule.transform_layout(block, ("write", 0), mapping)
        schedule.transform_block_layout(block, mapping)
    result = (*batch, axes.rows, axes.columns)
    schedule.transform_layout(anchor, ("write", 0), _mapping(kernel, anchor, axes, spatial, result))
    every = (*spatial, *axes.depth)
    schedule.transform_block_layout(anchor, _mapping(kernel, anchor, axes, every, (*result, axes.depth)))
    schedule.transform_block_layout(epilogue, _mapping(kernel, epilogue, axes, spatial, result))
    sizes = [axes.extent(group) for group in (axes.batch, axes.rows, axes.columns, axes.depth)]
    return MatrixProduct(anchor, left, right, epilogue, *sizes)


def _indexing(region: Any, variables: Sequence[Any]) -> Axes:  # noqa: ANN401  TVM ships no types
    """Which of some variables occur in the indices of a region."""
    from tvm.ir import Var
    from tvm_ffi import structural_walk

    found: list[Any] = []
    for extent in region.region:
        structural_walk(extent.min, (Var, found.append))
    return tuple(place for place, variable in enumerate(variables) if any(variable.same_as(other) for other in found))


def _order_of_indices(kernel: GpuSchedule, anchor: Block, side: int) -> Axes:
    """The axes that index a side, in the order of its indices; TVM drops those of a single index now and then."""
    details = kernel.schedule.get(anchor)
    variables = [axis.var for axis in details.iter_vars]
    region = details.reads[side].region
    return tuple(
        next(place for place, variable in enumerate(variables) if variable.same_as(extent.min)) for extent in region
    )


def _mapping(kernel: GpuSchedule, block: Block, axes: ContractionAxes, present: Axes, groups: Sequence[Axes]) -> Any:  # noqa: ANN401  TVM ships no types
    """From the axes that are present to one axis a group."""

    def mapped(*values: Expression) -> tuple[Expression, ...]:
        at = dict(zip(present, values, strict=True))
        return tuple(_one(axes, [place for place in group if place in at], at) for group in groups)

    return kernel.index_map(len(present), mapped, block)


def _one(axes: ContractionAxes, group: Sequence[int], at: dict[int, Expression]) -> Expression:
    from tvm import tirx

    if not group:
        return tirx.const(0, str(next(iter(at.values())).ty.dtype))
    return fused([at[place] for place in group], [axes.extents[place] for place in group])
