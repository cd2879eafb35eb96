"""What a kernel does, read off its operator and its shapes, for predictions of its speed."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgec.backends.plan import KernelKind
from edgec.backends.tvm.implementation import Algorithm
from edgec.backends.tvm.kernel_graph import Operation

_MOVEMENT = frozenset(
    {"Transpose", "Concat", "Slice", "Split", "Pad", "Gather", "Expand", "Tile", "Resize", "DepthToSpace"}
    | {"SpaceToDepth", "Reshape", "Upsample", "ConstantOfShape", "ScatterND", "GatherND", "GatherElements"}
)
_TRANSCENDENTAL = frozenset(
    {"Sigmoid", "Tanh", "Exp", "Log", "Softmax", "LogSoftmax", "Gelu", "Erf", "Softplus", "Mish", "Elu", "Selu", "Pow"}
    | {"Swish", "LRN", "Sin", "Cos"}
)
_FILTERED_TAPS = 9
_LEAST_CHANNELS_OF_FILTERED = 16


def depth_of(anchor: Operation) -> int:
    """Input channels that an element of the output sums over; 0 where nothing is summed."""
    if not anchor.macs:
        return 0
    terms, channels = _terms(anchor), _channels(anchor)
    return channels if terms % channels == 0 else 1


def kind_of(anchor: Operation) -> KernelKind:
    """The kind of the operation that gives a kernel its loops.

    A contraction over a multiple of the input's channels is dense, over fewer it is depthwise: its operands lie
    channels last, and products of matrices have their depth last.
    """
    if not anchor.macs:
        if anchor.op in _TRANSCENDENTAL:
            return KernelKind.TRANSCENDENTAL
        return KernelKind.MOVEMENT if anchor.op in _MOVEMENT else KernelKind.OTHER
    terms, channels = _terms(anchor), _channels(anchor)
    outputs = anchor.outputs[0].shape
    if math.prod(outputs) == outputs[-1] and any(value.data is not None for value in anchor.inputs):
        return KernelKind.VECTOR
    if terms == channels:
        return KernelKind.POINTWISE
    if terms % channels:
        return KernelKind.DEPTHWISE
    wide = min(channels, outputs[-1]) >= _LEAST_CHANNELS_OF_FILTERED
    filtered = terms == _FILTERED_TAPS * channels and wide and _keeps_extents(anchor)
    return KernelKind.DENSE_3X3 if filtered else KernelKind.DENSE


def is_filtered(anchor: Operation) -> bool:
    """Whether the kernel computes a convolution by minimal filtering."""
    return anchor.choice is not None and anchor.choice.implementation.algorithm is not Algorithm.DIRECT


def transcendentals_of(operations: Iterable[Operation]) -> int:
    """Elements that a kernel puts through transcendental functions, those of fused activations too."""
    return sum(math.prod(operation.outputs[0].shape) for operation in operations if operation.op in _TRANSCENDENTAL)


def vectors_of(anchor: Operation) -> int:
    """Vector registers that the output's channels fill in the kernel's register tiles; 0 without tiles."""
    if anchor.tile is None:
        return 0
    return math.ceil(anchor.outputs[0].shape[-1] / anchor.tile.block) * anchor.tile.vectors


def _terms(anchor: Operation) -> int:
    return max(1, anchor.macs // math.prod(anchor.outputs[0].shape))


def _channels(anchor: Operation) -> int:
    return max(1, anchor.inputs[0].shape[-1]) if anchor.inputs[0].shape else 1


def _keeps_extents(anchor: Operation) -> bool:
    """Whether the output has the extents of the input, but for a border."""
    before, after = anchor.inputs[0].shape[1:-1], anchor.outputs[0].shape[1:-1]
    return len(before) == len(after) and all(given - got <= 2 for given, got in zip(before, after, strict=True))
