"""TensorIR to object code through LLVM, with plain C functions for kernels.

A kernel is compiled to `int32_t NAME(const void *input…, void *output…[, void *scratch])`: TVM's packed calling
convention, with its run-time type checks, costs code and time that a kernel of a static graph does not need. Buffers
need only the alignment of their elements. Large temporaries live in a scratch area that the caller hands over, so that
a kernel allocates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgec.core.cache import Cache, key_of
from edgec.core.codes.backend import CODE_GENERATION_FAILED
from edgec.core.errors import EdgecError
from edgec.core.target import Compiler

_STACK_BYTES = 4 * 1024
_STACK_BYTES_OF_LOCALS = 64 * 1024
_ALIGNMENT = 64
_LOCAL = "local"
_SMALLEST_VECTOR_BITS = 128
"""What TVM assumes, with a warning, of a processor it has no vector width for."""


@dataclass(frozen=True, eq=False)
class KernelSource:
    """A kernel to compile.

    Attributes:
        symbol: name of its C function.
        function: scheduled PrimFunc.
        plain: the same without a schedule, for when the scheduled one cannot be lowered.
    """

    symbol: str
    function: Any
    plain: Any


@dataclass(frozen=True)
class ObjectCode:
    """A relocatable object file and what its kernels need.

    Attributes:
        contents: bytes of the object file.
        scratch_bytes: by kernel, bytes of the scratch area that is its last argument; kernels without one are absent.
        unscheduled: kernels compiled from their plain function, with the reason.
    """

    contents: bytes
    scratch_bytes: Mapping[str, int]
    unscheduled: Mapping[str, str]


def llvm_target(compiler: Compiler) -> Any:  # noqa: ANN401  TVM ships no types
    """TVM's target for the compiler section of a datasheet; `native` is the machine that runs edgec."""
    import tvm

    description: dict[str, Any] = {"kind": "llvm"}
    if compiler.triple == "native":
        return tvm.target.Target({**description, "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
    description |= {"mtriple": compiler.triple, "mcpu": compiler.cpu}
    if compiler.features:
        description["mattr"] = list(compiler.features)
    if compiler.triple.startswith("thumb"):
        description["vector-width"] = _SMALLEST_VECTOR_BITS
    if compiler.float_abi:
        description["mfloat-abi"] = compiler.float_abi
    return tvm.target.Target(description)


def compile_kernels(sources: Sequence[KernelSource], compiler: Compiler, threads: int) -> ObjectCode:
    """Compile kernels to one object file.

    Args:
        sources: the kernels.
        compiler: of the target.
        threads: that share a kernel; each has scratch of its own.

    Raises:
        EdgecError: EC0402 if TVM or LLVM fails.
    """
    import tvm

    target = llvm_target(compiler)
    scratch_bytes: dict[str, int] = {}
    unscheduled: dict[str, str] = {}
    module = tvm.IRModule({})
    with tvm.transform.PassContext(opt_level=3):
        for source in sources:
            try:
                lowered = _lower(source.symbol, source.function, target, threads, scratch_bytes)
            except RuntimeError as error:
                unscheduled[source.symbol] = f"the scheduled kernel cannot be lowered: {last_line(error)}"
                scratch_bytes.pop(source.symbol, None)
                lowered = _lower_plain(source, target, threads, scratch_bytes)
            module.update(lowered)
        contents = _object_file(module, target)
    return ObjectCode(contents, scratch_bytes, unscheduled)


def _lower(symbol: str, function: Any, target: Any, threads: int, scratch_bytes: dict[str, int]) -> Any:  # noqa: ANN401
    import tvm
    from tvm import tirx

    module = tvm.IRModule({symbol: function.with_attr("global_symbol", symbol)})
    module = tirx.transform.BindTarget(target.with_host(target))(module)
    return tvm.ir.transform.Sequential(_lowering_passes(threads, scratch_bytes))(module)


def _lower_plain(source: KernelSource, target: Any, threads: int, scratch_bytes: dict[str, int]) -> Any:  # noqa: ANN401
    try:
        return _lower(source.symbol, source.plain, target, threads, scratch_bytes)
    except RuntimeError as error:
        raise code_failure(error, source.symbol) from error


def _object_file(module: Any, target: Any) -> bytes:  # noqa: ANN401
    """The object file of lowered kernels, from the cache if these kernels were compiled for this target before."""
    import tvm

    version = tvm.target.codegen.llvm_version_major()
    key = key_of("kernels", tvm.__version__, str(version), str(target), tvm.ir.save_json(module))
    cache = Cache()
    contents = cache.get(key)
    if contents is None:
        contents = _compiled(module, target)
        cache.put(key, contents)
    return contents


def _compiled(module: Any, target: Any) -> bytes:  # noqa: ANN401
    import tvm

    try:
        library = tvm.get_global_func("target.build.llvm")(module, target)
    except RuntimeError as error:
        raise code_failure(error, "") from error
    with TemporaryDirectory(prefix="edgec-") as folder:
        path = Path(folder) / "kernels.o"
        library.write_to_file(str(path), "o")
        return path.read_bytes()


def code_failure(error: RuntimeError, symbol: str) -> EdgecError:
    """EC0402 for what TVM or LLVM raised, at a kernel or node; with the last line of what it says."""
    return EdgecError(CODE_GENERATION_FAILED, last_line(error), where=symbol, hint="report it with the model")


def last_line(error: Exception) -> str:
    """The last line of what an error says, or its type if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _lowering_passes(threads: int, scratch_bytes: dict[str, int]) -> list[Any]:
    """TVM's default lowering for CPUs, less the passes for GPUs, and with `_as_c_function` for the packed interface."""
    from tvm import s_tir, tirx

    def as_c_function(function: Any, _module: Any, _context: Any) -> Any:  # noqa: ANN401
        return _as_c_function(function, threads, scratch_bytes)

    return [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.AnnotateIrregularLoop(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.BF16ComputeLegalize(),
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
        tirx.transform.FP8ComputeLegalize(),
        tirx.transform.VerifyMemory(),
        tirx.transform.prim_func_pass(as_c_function, opt_level=0),
        tirx.transform.FP8StorageLegalize(),
        tirx.transform.BF16StorageLegalize(),
        tirx.transform.LowerTVMBuiltin(),
        tirx.transform.LowerIntrin(),
    ]


def _as_c_function(function: Any, threads: int, scratch_bytes: dict[str, int]) -> Any:  # noqa: ANN401
    """Replace the buffer parameters by pointers and the large temporaries by offsets into a scratch pointer."""
    import tvm
    from tvm import tirx
    from tvm.tirx.stmt import Return, StringImm

    name = str(function.attrs["global_symbol"])
    pointers = [
        tirx.Var(f"{parameter.name}_pointer", _pointer_type(str(parameter.ty.dtype))) for parameter in function.params
    ]
    declarations = [
        tirx.DeclBuffer(parameter, data=pointer) for parameter, pointer in zip(function.params, pointers, strict=True)
    ]
    scratch = _Scratch(name, tirx.Var("scratch", _pointer_type("uint8")), threads)
    body = scratch.place(function.body)
    for key, value in (("device_type", 1), ("device_id", 0)):
        body = tirx.AttrStmt(StringImm("default"), key, tirx.const(value, "int32"), body)
    if scratch.size_bytes:
        scratch_bytes[name] = scratch.size_bytes
        pointers.append(scratch.pointer)
    body = tirx.SeqStmt([*declarations, body, Return(tirx.const(0, "int32"))])
    made = tirx.PrimFunc(pointers, body, tvm.ir.PrimType("int32"), function.attrs)
    return made.with_attr("calling_conv", 1).without_attr("tirx.is_entry_func")


def _pointer_type(dtype: str) -> Any:  # noqa: ANN401
    import tvm

    return tvm.ir.PointerType(tvm.ir.PrimType(dtype), "global")


class _Scratch:
    """Moves the large buffers that a kernel allocates to a scratch area, one after the other.

    TVM's StorageRewrite has already merged those that may share memory. Small buffers stay on the stack. A buffer
    inside a parallel loop belongs to a task: such a loop is cut into as many tasks as there are threads, each with a
    part of the scratch area.

    Args:
        symbol: the kernel.
        pointer: the scratch area.
        threads: tasks of a parallel loop whose iterations need scratch.
        start: where the area begins, in bytes from the pointer; in a task an expression.
    """

    def __init__(self, symbol: str, pointer: Any, threads: int, start: Any = 0) -> None:  # noqa: ANN401
        self._symbol = symbol
        self.pointer = pointer
        self.size_bytes = 0
        self._threads = threads
        self._start = start

    def place(self, statement: Any) -> Any:  # noqa: ANN401
        """The statement with its large buffers in the scratch area.

        Raises:
            EdgecError: EC0402 for a loop without a fixed count, which no schedule makes.
        """
        from tvm import tirx

        match type(statement).__name__:
            case "SeqStmt":
                return tirx.SeqStmt([self.place(part) for part in statement.seq])
            case "AttrStmt":
                return tirx.AttrStmt(statement.node, statement.attr_key, statement.value, self.place(statement.body))
            case "IfThenElse":
                otherwise = statement.else_case
                return tirx.IfThenElse(
                    statement.condition,
                    self.place(statement.then_case),
                    None if otherwise is None else self.place(otherwise),
                )
            case "For" if statement.kind == tirx.ForKind.PARALLEL:
                return self._place_in_tasks(statement)
            case "For":
                return _with_body(statement, self.place(statement.body))
            case "AllocBuffer":
                return self._allocation(statement)
            case "While":
                # A buffer inside would stay on the stack, however large it is.
                raise EdgecError(
                    CODE_GENERATION_FAILED,
                    "a kernel loops while a condition holds; its temporaries have no place",
                    where=self._symbol,
                    hint="report it with the model",
                )
            case _:
                return statement

    def _place_in_tasks(self, loop: Any) -> Any:  # noqa: ANN401
        """A parallel loop; where its body needs scratch, with an iteration a task and the body in a loop inside."""
        from tvm import tirx

        extent = int(loop.extent)
        task = tirx.Var("task", loop.loop_var.ty)
        tasks = min(self._threads, extent)
        base = self._reserve(0)
        needs = _Scratch(self._symbol, self.pointer, self._threads)
        body = needs.place(loop.body)
        if not needs.size_bytes:
            return _with_body(loop, body)
        part = _aligned(needs.size_bytes)
        self._reserve(part * tasks)
        start = self._start + base + task * part
        body = _Scratch(self._symbol, self.pointer, self._threads, start).place(loop.body)
        length = -(-extent // tasks)
        inner = tirx.Var(f"{loop.loop_var.name}_in_task", loop.loop_var.ty)
        index = loop.min + task * length + inner
        body = _with_value(body, loop.loop_var, index)
        if length * tasks != extent:
            body = tirx.IfThenElse(index < loop.min + extent, body, None)
        body = tirx.For(inner, 0, length, tirx.ForKind.SERIAL, body)
        return tirx.For(task, 0, tasks, tirx.ForKind.PARALLEL, body)

    def _allocation(self, statement: Any) -> Any:  # noqa: ANN401
        import tvm
        from tvm import tirx

        buffer = statement.buffer
        size_bytes = _size_bytes(buffer)
        if size_bytes <= (_STACK_BYTES_OF_LOCALS if buffer.scope() == _LOCAL else _STACK_BYTES):
            return tirx.AllocBuffer(
                buffer, {**dict(statement.annotations), "disable_lower_builtin": tirx.const(1, "bool")}
            )
        start = tvm.tirx.handle_add_byte_offset(self.pointer, self._start + self._reserve(size_bytes))
        return tirx.DeclBuffer(buffer, data=tirx.reinterpret(_pointer_type(str(buffer.dtype)), start))

    def _reserve(self, size_bytes: int) -> int:
        """The offset of some bytes more."""
        offset = _aligned(self.size_bytes)
        self.size_bytes = offset + size_bytes
        return offset


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT


def _with_value(statement: Any, variable: Any, value: Any) -> Any:  # noqa: ANN401
    """The statement with a value in the place of a variable."""
    from tvm.ir import Var
    from tvm_ffi import structural_map

    return structural_map(statement, (Var, lambda other: value if other.same_as(variable) else other))


def _with_body(loop: Any, body: Any) -> Any:  # noqa: ANN401
    from tvm import tirx

    return tirx.For(
        loop.loop_var, loop.min, loop.extent, loop.kind, body, loop.thread_binding, loop.annotations, loop.step
    )


def _size_bytes(buffer: Any) -> int:  # noqa: ANN401
    import math

    import numpy as np

    dtype = buffer.dtype
    lanes = int(getattr(dtype, "lanes", 1))
    itemsize = np.dtype(str(dtype).split("x")[0]).itemsize
    return math.prod(int(extent) for extent in buffer.shape) * lanes * itemsize
