"""The kernels of groups: scheduled and lowered, equal ones once, by the best template that TVM accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgec.backends.gpu.device import LANES, Device
from edgec.backends.gpu.half_storage import in_single, places_of_halves
from edgec.backends.gpu.schedules.rules import candidates
from edgec.backends.gpu.source import Lowered, lower, tvm_target, with_places_for_all
from edgec.backends.tvm.code_generation import Strides, primitive_function
from edgec.backends.tvm.constants import ALIGNMENT
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.fusion import KernelGroup
from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.machine_code import code_failure, last_line
from edgec.core.target_gpu import Gpu

_LONGEST_NAME = 40


@dataclass(frozen=True, eq=False)
class GpuKernel:
    """What computes a group on the device.

    Attributes:
        lowered: its device functions.
        scratch: (offset, size) in bytes of the tensors between its launches, in an area of its own.
        strides: of the values that are not dense.
        single_thread_reason: why it runs on a single thread; None if it does not.
        plainer_reason: why it has a plainer schedule than the first of those for it; None if it has the first.
    """

    lowered: Lowered
    scratch: tuple[tuple[int, int], ...]
    strides: Strides
    single_thread_reason: str | None
    plainer_reason: str | None

    @property
    def scratch_bytes(self) -> int:
        """Size of the area."""
        return max((offset + size for offset, size in self.scratch), default=0)


class KernelMaker:
    """Makes the kernels of a program.

    Args:
        symbol: prefix of their names.
        strides: of the values that are not dense.
        core: what the lowering picked layouts by.
        device: the graphics processor.
        gpu: its datasheet.
    """

    def __init__(self, symbol: str, strides: Strides, core: CoreDescription, device: Device, gpu: Gpu) -> None:
        self._symbol = symbol
        self._strides = strides
        self._core = core
        self._device = device
        self._target = tvm_target(gpu)
        self._known: dict[tuple[Any, int], GpuKernel] = {}
        self._taken: set[str] = set()

    def make(self, group: KernelGroup, vector: int, *, in_place: bool) -> GpuKernel:
        """The kernel of a group.

        Args:
            group: operations that become one kernel, or several in a row.
            vector: elements that an access may have at most.
            in_place: whether the output lies where one of the inputs lay.

        Raises:
            EdgecError: EC0402 if TVM accepts no schedule.
        """
        from tvm_ffi import StructuralKey

        function = primitive_function(group, self._strides)
        if in_place:
            function = function.without_attr("tirx.noalias")
        key = (StructuralKey(function), vector)  # type: ignore[call-arg]  # its stub is wrong
        if key not in self._known:
            self._known[key] = self._made(function, group, vector)
        return self._known[key]

    def _made(self, function: Any, group: KernelGroup, vector: int) -> GpuKernel:  # noqa: ANN401
        symbol = self._name(group)
        failures: list[RuntimeError] = []
        halves = places_of_halves(function)
        function = in_single(function) if halves else function
        for attempt in candidates(function, group, self._core, self._device, vector):
            try:
                scheduled = attempt()
                placed, sizes = with_places_for_all(scheduled.function)
                lowered = lower(symbol, placed, self._target, halves, aligned=vector == LANES)
            except RuntimeError as failure:
                failures.append(failure)
                continue
            plainer = _plainer_reason(group, failures)
            return GpuKernel(lowered, _laid_out(sizes), self._strides, scheduled.single_thread_reason, plainer)
        raise code_failure(failures[-1], group.anchor.node) from failures[-1]

    def _name(self, group: KernelGroup) -> str:
        words = re.sub(r"[^A-Za-z0-9]+", "_", group.anchor.node or group.anchor.op).strip("_").lower()
        base = f"{self._symbol}_{words[-_LONGEST_NAME:].strip('_') or 'step'}"
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name


def _plainer_reason(group: KernelGroup, failures: list[RuntimeError]) -> str | None:
    """Of a group that adds up: the schedules of others differ in nothing that counts."""
    if not failures or all(operation.pattern < Pattern.REDUCTION for operation in group.operations):
        return None
    return f"it has a plainer schedule, as TVM refuses the best: {last_line(failures[0])}"


def _laid_out(sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Tensors one after another, each at a multiple of the alignment."""
    placed, offset = [], 0
    for size in sizes:
        placed.append((offset, size))
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    return tuple(placed)
