"""From kernel groups to scheduled kernels: one PrimFunc a group, equal ones shared."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import FusedBlock, FusedConditional, FusedRepeat, KernelGroup
from edgec.backends.tvm.implementation import LoopOrder
from edgec.backends.tvm.kernel_graph import ConvolutionTile, Overlay, Value
from edgec.backends.tvm.schedules.sharing import sharing_threads

_LONGEST_NAME = 48


class Scheduled(Protocol):
    """A scheduled PrimFunc, and why it is slow if it is."""

    @property
    def function(self) -> Any:  # noqa: ANN401  TVM ships no types
        """The PrimFunc."""

    @property
    def fallback_reason(self) -> str | None:
        """Why no template fitted; None if one did."""


Scheduler = Callable[[Any, KernelGroup, CoreDescription, int], Scheduled]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A C function.

    Attributes:
        symbol: its name, unique in a program that links several models.
        function: scheduled PrimFunc; its parameters are the group's inputs, then its outputs.
        plain: the same without a schedule.
        fallback_reason: why it has no schedule of its own and runs slowly; None if it has one.
    """

    symbol: str
    function: Any
    plain: Any
    fallback_reason: str | None


def groups_in_order(block: FusedBlock) -> list[KernelGroup]:
    """Every kernel call of a block and the blocks in it, in the order of the text."""
    found: list[KernelGroup] = []
    for step in block.steps:
        match step:
            case KernelGroup():
                found.append(step)
            case FusedConditional():
                found += groups_in_order(step.then_block) + groups_in_order(step.else_block)
            case FusedRepeat():
                found += groups_in_order(step.body)
    return found


Strides = Mapping[Value, tuple[int, ...]]
"""Elements from one index of each axis to the next, of the values that are not dense."""

DENSE: Strides = MappingProxyType({})
"""No value has strides."""


def strides_of(block: FusedBlock) -> dict[Value, tuple[int, ...]]:
    """The strides of the values of a block, and of the blocks in it, that are not dense."""
    found: dict[Value, tuple[int, ...]] = {}
    for step in block.steps:
        match step:
            case Overlay():
                found |= {part.inner: part.strides for part in step.parts if part.strides is not None}
            case FusedConditional():
                found |= strides_of(step.then_block) | strides_of(step.else_block)
            case FusedRepeat():
                found |= strides_of(step.body)
            case _:
                pass
    return found


def make_kernels(
    groups: Sequence[KernelGroup],
    strides: Strides,
    in_place: Collection[KernelGroup],
    name: str,
    core: CoreDescription,
    threads: int,
    schedule: Scheduler,
    advance: Callable[[], None],
) -> dict[KernelGroup, Kernel]:
    """The kernel of each group; groups that compute the same on the same shapes share one.

    Args:
        groups: in order of execution, which is the order of the names.
        strides: of the values that are not dense.
        in_place: those whose output lies where one of their inputs lay.
        name: prefix of the symbols.
        core: the core to schedule for.
        threads: tasks that a kernel may be split into; small ones are not.
        schedule: turns a naive PrimFunc into a fast one.
        advance: called once a group.
    """
    from tvm_ffi import StructuralKey

    known: dict[tuple[Any, ConvolutionTile | None, LoopOrder | None], Kernel] = {}
    taken: set[str] = set()
    kernels: dict[KernelGroup, Kernel] = {}
    for group in groups:
        function = primitive_function(group, strides)
        if group in in_place:
            function = function.without_attr("tirx.noalias")
        key = (StructuralKey(function), group.anchor.tile, _loop_order(group))  # type: ignore[call-arg]  # its stub is wrong
        if key not in known:
            scheduled = schedule(function, group, core, sharing_threads(group, core, threads))
            known[key] = Kernel(_symbol(name, group, taken), scheduled.function, function, scheduled.fallback_reason)
        kernels[group] = known[key]
        advance()
    return kernels


def _loop_order(group: KernelGroup) -> LoopOrder | None:
    """What was chosen beyond the register tile and is no part of the computation."""
    choice = group.anchor.choice
    return None if choice is None else choice.implementation.order


def primitive_function(group: KernelGroup, strides: Strides = DENSE) -> Any:  # noqa: ANN401  TVM ships no types
    """The unscheduled PrimFunc of a group: its inputs and then its outputs as buffers."""
    from tvm import te

    placeholders = [te.placeholder(value.shape, value.dtype, f"input_{i}") for i, value in enumerate(group.inputs)]
    tensors: dict[Value, Any] = dict(zip(group.inputs, placeholders, strict=True))
    for operation in group.operations:
        results = operation.compute([tensors[value] for value in operation.inputs])
        tensors.update(zip(operation.outputs, results, strict=True))
    outputs: list[Any] = []
    for value in group.outputs:
        tensor = tensors[value]
        taken = any(tensor.same_as(other) for other in (*placeholders, *outputs))
        outputs.append(_copy(tensor) if taken else tensor)
    function = te.create_prim_func([*placeholders, *outputs])
    return _with_strides(function, [strides.get(value) for value in (*group.inputs, *group.outputs)])


def _with_strides(function: Any, strides: Sequence[tuple[int, ...] | None]) -> Any:  # noqa: ANN401
    """The function with strides for some of its parameters."""
    from tvm import tirx
    from tvm.ir import Var
    from tvm_ffi import structural_map

    changed = [
        (parameter, tirx.decl_buffer(parameter.ty.shape, parameter.ty.dtype, parameter.name, strides=wanted))
        for parameter, wanted in zip(function.params, strides, strict=True)
        if wanted is not None
    ]
    if not changed:
        return function

    def replaced(variable: Any) -> Any:  # noqa: ANN401
        return next((new for old, new in changed if variable.same_as(old)), variable)

    return structural_map(function, (Var, replaced))


def _copy(tensor: Any) -> Any:  # noqa: ANN401
    from tvm import te

    return te.compute(tensor.shape, lambda *indices: tensor(*indices), "copy")


def _symbol(name: str, group: KernelGroup, taken: set[str]) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "_", group.anchor.node or group.anchor.op).strip("_").lower()
    base = f"{name}_kernel_{words[-_LONGEST_NAME:].strip('_') or 'step'}"
    symbol, number = base, 2
    while symbol in taken:
        symbol, number = f"{base}_{number}", number + 1
    taken.add(symbol)
    return symbol
