"""What the computations of anchors tell their schedules: the role of each TE stage, as attributes of its block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from edgec.backends.tvm.implementation import Choice, Contraction, Implementation, LoopOrder
from edgec.backends.tvm.kernel_graph import ConvolutionTile

_PREFIX = "edgec."


class Role(StrEnum):
    """The part that a TE stage plays in a kernel.

    DENSE: sums over input channels; weights are packed in blocks of output channels.
    DOT_PRODUCT: the same with integers; the innermost loop of the sum is what one instruction adds up.
    WINDOWED: sums within a channel (depthwise convolution).
    WINDOWED_DOT: the same with integers; one instruction adds up a few taps.
    TAPS: the elements under a few neighbouring taps, side by side, as that instruction reads them.
    WINOGRAD: sums over input channels at each place of transformed tiles.
    PADDING: copy of the input with a border, or otherwise arranged, that the anchor reads.
    ROWS: the same, with the positions of a row and their channels as one axis.
    PACKING: weights that are computed at run time, arranged in blocks of output channels.
    """

    DENSE = "dense"
    DOT_PRODUCT = "dot_product"
    WINDOWED = "windowed"
    WINDOWED_DOT = "windowed_dot"
    TAPS = "taps"
    WINOGRAD = "winograd"
    PADDING = "padding"
    ROWS = "rows"
    PACKING = "packing"


@dataclass(frozen=True)
class AnchorLayout:
    """How an anchor's loops are to be tiled.

    Attributes:
        tile: the register tile.
        row_axis: output axis that the tile's rows run along.
        batch_axes: leading output axes that stay outermost, as the right side or the input depends on them.
        order: of the loops around the tile.
    """

    tile: ConvolutionTile
    row_axis: int
    batch_axes: int
    order: LoopOrder = LoopOrder.BY_SIZE

    def attributes(self, role: Role) -> dict[str, str | int]:
        """As attributes of a TE stage."""
        return {
            _PREFIX + "role": str(role),
            _PREFIX + "rows": self.tile.rows,
            _PREFIX + "vectors": self.tile.vectors,
            _PREFIX + "lanes": self.tile.lanes,
            _PREFIX + "row_axis": self.row_axis,
            _PREFIX + "batch_axes": self.batch_axes,
            _PREFIX + "order": str(self.order),
        }

    @classmethod
    def of(cls, annotations: Mapping[str, object]) -> AnchorLayout:
        """Read back from the annotations of a block."""

        def number(key: str) -> int:
            return int(str(annotations[_PREFIX + key]))

        tile = ConvolutionTile(number("rows"), number("vectors"), number("lanes"))
        order = LoopOrder(str(annotations[_PREFIX + "order"]))
        return cls(tile, number("row_axis"), number("batch_axes"), order)


def choice_of(contraction: Contraction | None, layout: AnchorLayout) -> Choice | None:
    """The direct sum of a contraction with some layout as a choice; None where there is no other way."""
    if contraction is None:
        return None
    tile = layout.tile
    made = Implementation(
        row_axis=layout.row_axis, rows=tile.rows, vectors=tile.vectors, lanes=tile.lanes, order=layout.order
    )
    return Choice(contraction, made)


def role_attributes(role: Role) -> dict[str, str | int]:
    """The attributes of a stage that is not an anchor."""
    return {_PREFIX + "role": str(role)}


def role_of(annotations: Mapping[str, object]) -> Role | None:
    """The role that a block's annotations declare, if any."""
    declared = annotations.get(_PREFIX + "role")
    return None if declared is None else Role(str(declared))


def intrinsic_attribute(name: str) -> dict[str, str | int]:
    """The attribute of a dot product that names the tensor intrinsic to compute it with."""
    return {_PREFIX + "intrinsic": name}


def intrinsic_of(annotations: Mapping[str, object]) -> str:
    """The tensor intrinsic that a dot product's annotations name."""
    return str(annotations[_PREFIX + "intrinsic"])
