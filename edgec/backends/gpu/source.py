"""From scheduled TensorIR functions to source text for the device, and the calls that run them.

A function becomes one kernel on the device for each of its loop nests. Intermediate tensors between two of them become
further parameters of the function, so that the memory plan gives them a place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgec.backends.gpu.byte_words import calls_functions_of_bytes, with_words_at_once
from edgec.backends.gpu.gathered_bytes import with_gathered_bytes
from edgec.backends.gpu.half_storage import with_halves_in_memory
from edgec.backends.gpu.launch_plan import Extents, GpuProgram
from edgec.backends.gpu.printable_constants import with_printable_constants
from edgec.backends.gpu.source_text import as_program
from edgec.backends.tvm.machine_code import code_failure
from edgec.core.codes.backend import CODE_GENERATION_FAILED
from edgec.core.errors import EdgecError
from edgec.core.target_gpu import Gpu

Function = Any
"""A TIR PrimFunc; TVM ships no types."""

TvmTarget = Any
"""A tvm.target.Target."""

_PARAMETER = re.compile(r"p(\d+)(_ptr)?$")


@dataclass(frozen=True)
class DeviceCall:
    """One call of a kernel.

    Attributes:
        kernel: its name in the program.
        arguments: positions among the parameters of the function it comes from.
        grid: groups of threads.
        block: threads of a group.
    """

    kernel: str
    arguments: tuple[int, ...]
    grid: Extents
    block: Extents


@dataclass(frozen=True, eq=False)
class Lowered:
    """A scheduled function after TVM's lowering.

    Attributes:
        calls: in order.
        module: the device functions, ready for code generation.
    """

    calls: tuple[DeviceCall, ...]
    module: Any


def tvm_target(gpu: Gpu) -> TvmTarget:
    """TVM's target for a graphics processor."""
    import tvm

    description: dict[str, Any] = {
        "kind": gpu.api,
        "max_num_threads": int(gpu.max_threads.value),
        "max_shared_memory_per_block": int(gpu.shared_memory_kib.value * 1024),
        "host": {"kind": "llvm"},
    }
    if gpu.api == "cuda":
        description["arch"] = gpu.architecture
    return tvm.target.Target(description)


def with_places_for_all(function: Function) -> tuple[Function, tuple[int, ...]]:
    """The function with its intermediate tensors in device memory as further parameters, and their sizes in bytes.

    Parameters are named by their position.
    """
    from tvm import tirx
    from tvm.ir import Var
    from tvm_ffi import structural_map

    made, moved = _without_global_buffers(function)
    renamed = [
        (old, tirx.decl_buffer(old.ty.shape, old.ty.dtype, f"p{place}", strides=old.ty.strides or None))
        for place, old in enumerate(made.params)
    ]

    def replaced(variable: Any) -> Any:  # noqa: ANN401
        return next((new for old, new in renamed if variable.same_as(old)), variable)

    return structural_map(made, (Var, replaced)), tuple(_size_bytes(buffer) for buffer in moved)


def _without_global_buffers(function: Function) -> tuple[Function, list[Any]]:
    """The function with the buffers in device memory that its outermost block allocates as parameters instead."""
    from tvm import s_tir, tirx

    block_type: Any = s_tir.SBlock
    root = getattr(function.body, "block", None)
    if root is None:
        return function, []
    moved = [buffer for buffer in root.alloc_buffers if buffer.scope() in ("global", "")]
    kept = [buffer for buffer in root.alloc_buffers if not any(buffer.same_as(other) for other in moved)]
    parts = (root.iter_vars, root.reads, root.writes, root.name_hint, root.body, root.init)
    block = block_type(*parts, kept, root.match_buffers, root.annotations)
    body = type(function.body)(function.body.iter_values, function.body.predicate, block)
    return tirx.PrimFunc([*function.params, *moved], body, function.ret_type, function.attrs), moved


def lower(
    symbol: str, function: Function, target: TvmTarget, halves: Collection[int] = (), *, aligned: bool = False
) -> Lowered:
    """Lower a scheduled function to device functions.

    Args:
        symbol: prefix of their names.
        function: whose parameters are named by their position.
        target: see `tvm_target`.
        halves: parameters of fp32 that lie in memory as fp16.
        aligned: whether tensors begin at multiples of four bytes.

    Raises:
        RuntimeError: TVM cannot.
    """
    import tvm
    from tvm import tirx
    from tvm.tirx.build import split_host_device_mods

    module = tvm.IRModule({symbol: function.with_attr("global_symbol", symbol)})
    module = tirx.transform.BindTarget(target)(module)
    module = tvm.ir.transform.Sequential(_lowering_passes())(module)
    _, by_target = split_host_device_mods(module)
    device = tvm.ir.transform.Sequential(_finishing_passes())(next(iter(by_target.values())))
    if calls_functions_of_bytes(function):
        device = with_words_at_once(device, aligned=aligned)
    if halves:
        device = with_halves_in_memory(device, {f"p{place}" for place in halves})
    functions = {str(made.attrs["global_symbol"]): made for _, made in device.functions_items()}
    # TVM numbers the kernels of a function in the order in which it calls them.
    names = sorted(functions, key=lambda name: int(name.rpartition("_kernel")[2].strip("_") or 0))
    return Lowered(tuple(_call(name, functions[name]) for name in names), device)


def make_program(lowered: Sequence[Lowered], gpu: Gpu) -> GpuProgram:
    """The source of all kernels.

    Raises:
        EdgecError: EC0402 if TVM fails.
    """
    import tvm
    import tvm_ffi

    if gpu.api == "cuda":
        # TVM would call nvcc here; what comes back instead is the source.
        tvm_ffi.register_global_func("tvm_callback_cuda_compile", lambda code, _target=None: code, override=True)
    module = tvm.IRModule({})
    for part in lowered:
        module.update(part.module if gpu.api == "cuda" else with_gathered_bytes(with_printable_constants(part.module)))
    try:
        built = tvm.get_global_func(f"target.build.{gpu.api}")(module, tvm_target(gpu))
    except RuntimeError as error:
        raise code_failure(error, "") from error
    kernels = tuple(call.kernel for part in lowered for call in part.calls)
    return as_program(str(built.inspect_source()), gpu.api, kernels)


def _call(name: str, function: Function) -> DeviceCall:
    from tvm import tirx
    from tvm_ffi import structural_walk

    extents: dict[str, int] = {}

    def visit(statement: Any) -> None:  # noqa: ANN401
        if statement.attr_key == "thread_extent":
            extents[str(statement.node.thread_tag)] = int(statement.value)

    structural_walk(function.body, (tirx.AttrStmt, visit))
    arguments = []
    for parameter in function.params:
        found = _PARAMETER.match(str(parameter.name))
        if found is None:
            what = f"the kernel {name} has the parameter {parameter.name}, which is no tensor"
            raise EdgecError(CODE_GENERATION_FAILED, what, where=name, hint="report it with the model")
        arguments.append(int(found[1]))
    return DeviceCall(name, tuple(arguments), _of_axes(extents, "blockIdx"), _of_axes(extents, "threadIdx"))


def _of_axes(extents: Mapping[str, int], kind: str) -> Extents:
    return extents.get(f"{kind}.x", 1), extents.get(f"{kind}.y", 1), extents.get(f"{kind}.z", 1)


def _size_bytes(buffer: Any) -> int:  # noqa: ANN401
    import math

    import numpy as np

    return math.prod(int(extent) for extent in buffer.shape) * np.dtype(str(buffer.dtype)).itemsize


def _lowering_passes() -> list[Any]:
    """TVM's default lowering up to the split of host and device, less what serves tensor cores and other targets."""
    from tvm import s_tir, tirx

    return [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerCrossThreadReduction(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.LiftThreadBinding(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.UnifyThreadBinding(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.AnnotateIrregularLoop(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        s_tir.transform.LoopPartition(),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.StorageRewrite(),
        s_tir.transform.HoistIfThenElse(),
        tirx.transform.UnrollLoop(),
        s_tir.transform.RenormalizeSplitPattern(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        s_tir.transform.RewriteUnsafeSelect(),
        tirx.transform.CommonSubexprElim(),
        tirx.transform.VerifyMemory(),
        tirx.transform.AnnotateEntryFunc(),
        s_tir.transform.ThreadSync("shared"),
        s_tir.transform.LowerThreadAllreduce(),
        s_tir.transform.MergeSharedMemoryAllocations(),
        tirx.transform.SplitHostDevice(),
        tirx.transform.MakePackedAPI(),
    ]


def _finishing_passes() -> list[Any]:
    from tvm import tirx

    return [tirx.transform.LowerWarpMemory(), tirx.transform.StmtSimplify(), tirx.transform.LowerIntrin()]
