"""Channel shuffle (Zhang et al., "ShuffleNet", 2018), which ONNX spells Reshape, Transpose, Reshape.

Channels-last it is one pass over the data; node by node it would be brought to ONNX's layout, transposed, and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from tvm import tirx

from edgec.backends.tvm.lowering import Lowering
from edgec.backends.tvm.operators.emission import Expression, Form, Reader, emit_elements


def shuffle(node: ir.Node, lowering: Lowering, wanted: Sequence[int]) -> bool:
    """Lower the last Reshape of a channel shuffle of a channels-last value; False if the node is none.

    The shuffle exchanges two parts of the channel axis: (N, groups, channels / groups, spatial…) becomes
    (N, channels / groups, groups, spatial…).
    """
    exchanged = _exchanged(node, lowering)
    if exchanged is None:
        return False
    source, split = exchanged
    shape = lowering.shape(source)
    if not lowering.has_channels_last(source) or tuple(wanted) != shape or len(shape) < 3:
        return False
    groups, each = split[1], split[2]
    if split != (shape[0], groups, each, *shape[2:]):
        return False

    def element(readers: list[Reader], sample: Expression, channel: Expression, *rest: Expression) -> Expression:
        return readers[0](sample, tirx.floormod(channel, groups) * each + tirx.floordiv(channel, groups), *rest)

    held = Form(lowering.channels_last(source), True)
    emit_elements(lowering, node, [held], (shape, held.value.dtype), element, channels_last=True)
    return True


def _exchanged(node: ir.Node, lowering: Lowering) -> tuple[ir.Value, tuple[int, ...]] | None:
    """What a Reshape followed by an exchange of axes 1 and 2 made this node's input of, and the shape between."""
    transpose = node.inputs[0].producer() if node.inputs[0] is not None else None
    if transpose is None or transpose.op_type != "Transpose" or transpose.inputs[0] is None:
        return None
    reshape = transpose.inputs[0].producer()
    if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[0] is None:
        return None
    split = lowering.shape(transpose.inputs[0])
    if len(split) < 4 or tuple(transpose.attributes.get_ints("perm", ())) != (0, 2, 1, *range(3, len(split))):
        return None
    return reshape.inputs[0], split
