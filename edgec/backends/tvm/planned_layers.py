"""What a build plan tells of the kernel calls and of the tensors at the border, from the fused kernel graph."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgec.backends.plan import PlannedLayer
from edgec.backends.tvm.fusion import FusedBlock, FusedConditional, FusedRepeat, KernelGroup
from edgec.backends.tvm.kernel_graph import Value
from edgec.backends.tvm.kernel_kind import depth_of, is_filtered, kind_of, transcendentals_of, vectors_of
from edgec.core.tensor import TensorSpec


def tensor_specs(values: tuple[Value, ...], names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """The values at the border of a model, by other names than their own."""
    return tuple(
        TensorSpec(name=name, dtype=value.dtype, shape=value.shape) for name, value in zip(names, values, strict=True)
    )


def planned_layers(block: FusedBlock, calls: int, share: float = 1.0) -> Iterator[PlannedLayer]:
    """One layer a kernel call in the order of the driver's text, which is the order of its steps.

    Args:
        block: the outermost block, or one inside of it.
        calls: how often it runs per inference.
        share: the share of inferences that run it.
    """
    for step in block.steps:
        match step:
            case KernelGroup():
                yield _layer(step, calls, share)
            case FusedConditional():
                yield from planned_layers(step.then_block, calls, share / 2)
                yield from planned_layers(step.else_block, calls, share / 2)
            case FusedRepeat():
                yield from planned_layers(step.body, calls * step.source.trips, share)
            case _:
                pass


def _layer(group: KernelGroup, calls: int, share: float) -> PlannedLayer:
    return PlannedLayer(
        name=group.anchor.node,
        op=group.anchor.op,
        nodes=tuple(dict.fromkeys(operation.node for operation in group.operations)),
        macs=calls * sum(operation.macs for operation in group.operations),
        bytes=calls * sum(value.size_bytes for value in (*group.inputs, *group.outputs)),
        calls=calls,
        precision=group.anchor.inputs[0].dtype if group.anchor.inputs else group.anchor.outputs[0].dtype,
        kind=kind_of(group.anchor),
        weight_bytes=calls * sum(value.size_bytes for value in group.inputs if value.data is not None),
        depth=depth_of(group.anchor),
        elements=calls * math.prod(group.anchor.outputs[0].shape),
        filtered=is_filtered(group.anchor),
        transcendentals=calls * transcendentals_of(group.operations),
        channels=(group.anchor.outputs[0].shape or (1,))[-1],
        vectors=vectors_of(group.anchor),
        share=share,
    )
