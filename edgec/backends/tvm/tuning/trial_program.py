"""The program that times some kernels on a device: their object code, and C that gives each its buffers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan, Command, MemoryUse, Tool
from edgec.backends.tvm.code_generation import Kernel, Strides
from edgec.backends.tvm.fusion import KernelGroup
from edgec.backends.tvm.kernel_graph import Value
from edgec.backends.tvm.machine_code import KernelSource, compile_kernels
from edgec.backends.tvm.packaging import COMPILE, INSTALL_ZIG, LINK, ZIG, runner_triple, zig_arguments
from edgec.core.interface import Interface
from edgec.core.progress import Silent
from edgec.core.target import Target

_PROGRAM = "time_kernels"
_MOST_EVICTED_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Trial:
    """A kernel to time, the group that it computes, and the strides of values that are not dense."""

    kernel: Kernel
    group: KernelGroup
    strides: Strides


@dataclass(frozen=True)
class TrialProgram:
    """An executable for the device.

    Attributes:
        contents: of the executable file; needs nothing but an operating system.
        unscheduled: places of the trials whose kernel could not be compiled as scheduled.
    """

    contents: bytes
    unscheduled: frozenset[int]


def trial_program(trials: Sequence[Trial], target: Target, threads: int, network_bytes: int) -> TrialProgram:
    """Compile and link the program for some trials.

    Args:
        trials: their kernels have different symbols.
        target: the device.
        threads: threads that the kernels were scheduled for.
        network_bytes: what the network reads and writes between two runs of a kernel.

    Raises:
        EdgecError: EC0402 if a kernel cannot be compiled, EC090x if the linker is missing or fails.
    """
    sources = [KernelSource(trial.kernel.symbol, trial.kernel.function, trial.kernel.plain) for trial in trials]
    code = compile_kernels(sources, target.compiler, threads)
    header = _header(trials, code.scratch_bytes, min(network_bytes, _MOST_EVICTED_BYTES))
    with tempfile.TemporaryDirectory(prefix="edgec-trials-") as name:
        folder = Path(name)
        execute(_plan(header, code.contents, target, threads), folder, Silent())
        contents = (folder / _PROGRAM).read_bytes()
    slow = (place for place, trial in enumerate(trials) if trial.kernel.symbol in code.unscheduled)
    return TrialProgram(contents, frozenset(slow))


def _plan(header: str, kernels: bytes, target: Target, threads: int) -> BuildPlan:
    device = resources.files("edgec.hw")
    files = {
        "trials.h": header.encode(),
        "kernels.o": kernels,
        "time_kernels.c": (device / "tuning" / "time_kernels.c").read_bytes(),
        "include/edgec.h": (device / "runtime" / "edgec.h").read_bytes(),
        "edgec_runtime.c": (device / "runtime" / "edgec_runtime.c").read_bytes(),
    }
    sources = ("time_kernels.c", "edgec_runtime.c", "kernels.o")
    flags = (*COMPILE, "-I.", f"-DEDGEC_THREADS={threads}", "-static", *LINK)
    libraries = ("-lm", "-lpthread") if threads > 1 else ("-lm",)
    arguments = ("cc", "-target", runner_triple(target), *flags, *sources, "-o", _PROGRAM, *libraries)
    return BuildPlan(
        files=files,
        commands=(Command(ZIG, arguments, _PROGRAM, "link the kernels to time"),),
        tools=(Tool(ZIG, zig_arguments(), INSTALL_ZIG),),
        discard=(),
        interface=Interface(symbol=_PROGRAM, inputs=(), outputs=(), runner=_PROGRAM, emulator=()),
        layers=(),
        fallbacks=(),
        memory=MemoryUse(weights_bytes=0, activations_bytes=0, scratch_bytes=0),
        library=_PROGRAM,
    )


def _header(trials: Sequence[Trial], scratch_bytes: Mapping[str, int], evicted_bytes: int) -> str:
    inputs = max(len(trial.group.inputs) for trial in trials)
    buffers = [_buffers(trial, scratch_bytes.get(trial.kernel.symbol, 0), inputs) for trial in trials]
    lines = [
        "typedef struct trial_buffer { size_t bytes; int slot; enum { ACTIVATION, WEIGHTS } role; } trial_buffer;",
        f"#define TRIALS {len(trials)}",
        f"#define MOST_ARGUMENTS {inputs + max(len(trial.group.outputs) for trial in trials) + 1}",
        f"#define EVICTED_BYTES {max(1, evicted_bytes)}u",
        "typedef struct trial { int (*call)(void **); int buffers; trial_buffer buffer[MOST_ARGUMENTS]; } trial;",
    ]
    rows = []
    for place, (trial, described) in enumerate(zip(trials, buffers, strict=True)):
        symbol = trial.kernel.symbol
        arguments = ", ".join(f"a[{index}]" for index in range(len(described)))
        lines.append(f"int32_t {symbol}({', '.join(['void *'] * len(described))});")
        lines.append(f"static int call_{place}(void **a) {{ return {symbol}({arguments}); }}")
        rows.append(f"    {{call_{place}, {len(described)}, {{{', '.join(described)}}}}},")
    return "\n".join([*lines, "static const trial trials[] = {", *rows, "};", ""])


def _buffers(trial: Trial, scratch_bytes: int, inputs: int) -> list[str]:
    """An initialiser for each parameter of a kernel. Inputs, outputs and scratch have slots of their own.

    So nothing is read that another kernel has written, and ever larger numbers cannot arise.
    """
    group = trial.group
    slots = (*range(len(group.inputs)), *range(inputs + 1, inputs + 1 + len(group.outputs)))
    found = []
    for slot, value in zip(slots, (*group.inputs, *group.outputs), strict=True):
        size = _elements(value, trial.strides.get(value)) * np.dtype(value.dtype).itemsize
        found.append(f"{{{size}, {slot}, {'ACTIVATION' if value.data is None else 'WEIGHTS'}}}")
    return [*found, f"{{{scratch_bytes}, {inputs}, ACTIVATION}}"] if scratch_bytes else found


def _elements(value: Value, strides: tuple[int, ...] | None) -> int:
    """Elements from the first to the last one of a value, those of others between them included."""
    if strides is None:
        return math.prod(value.shape)
    return sum((extent - 1) * stride for extent, stride in zip(value.shape, strides, strict=True)) + 1
