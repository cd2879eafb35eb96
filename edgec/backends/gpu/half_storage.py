"""Half precision as a form of storage: kernels read it from memory, compute in fp32, and round what they store.

TVM schedules and lowers a kernel of fp32. Then the accesses of the tensors that lie in memory as fp16 are replaced: the
bits go through functions that the source defines (`device_functions.py`), so neither a header nor an extension nor fp16
arithmetic is needed. Within a kernel nothing is rounded to fp16.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgec.backends.gpu.device_functions import NARROW, WIDEN

Function = Any
"""A TIR PrimFunc; TVM ships no types."""

_HALF, _SINGLE, _BITS = "float16", "float32", "uint16"


def places_of_halves(function: Function) -> frozenset[int]:
    """Which parameters of a function are tensors of fp16."""
    return frozenset(place for place, value in enumerate(function.params) if str(value.ty.dtype) == _HALF)


def in_single(function: Function) -> Function:
    """The function with fp32 wherever it has fp16, parameters included."""
    from tvm import tirx
    from tvm.ir import Call, PrimType, TensorLoad
    from tvm_ffi import structural_map

    half, single = PrimType(_HALF), PrimType(_SINGLE)
    binary = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Min, tirx.Max)

    def if_half(made: Any) -> Any:  # noqa: ANN401
        """Makes the expressions of fp16 anew, of operands that are fp32 by now."""
        return lambda old: made(old) if old.ty == half else old

    return structural_map(
        function,
        [
            (PrimType, lambda kind: single if kind == half else kind),
            (tirx.FloatImm, if_half(lambda old: tirx.FloatImm(_SINGLE, old.value))),
            (tirx.Cast, if_half(lambda old: tirx.Cast(_SINGLE, old.value))),
            (TensorLoad, if_half(lambda old: tirx.BufferLoad(old.source, old.indices))),
            (binary, if_half(lambda old: type(old)(old.a, old.b))),
            (tirx.Select, if_half(lambda old: tirx.Select(old.condition, old.true_value, old.false_value))),
            (Call, if_half(lambda old: Call(old.op, old.args, old.attrs, old.ty_args, ret_ty=_SINGLE))),
        ],
    )


def with_halves_in_memory(module: Any, names: Collection[str]) -> Any:  # noqa: ANN401
    """Device functions of fp32 whose parameters of some names lie in memory as fp16.

    Args:
        module: after lowering, when accesses are those that the source will have.
        names: of the parameters.
    """
    import tvm

    functions = {name: _stored(function, names) for name, function in module.functions_items()}
    return tvm.IRModule(functions, attrs=module.attrs)


def _stored(function: Function, names: Collection[str]) -> Function:
    from tvm import tirx
    from tvm.ir import TensorLoad, Var
    from tvm_ffi import structural_map

    of_bits: dict[str, Any] = {}

    def variable(old: Any) -> Any:  # noqa: ANN401
        if str(old.name).removesuffix("_ptr") not in names:
            return old
        return of_bits.setdefault(str(old.name), _of_bits(old))

    def load(old: Any) -> Any:  # noqa: ANN401
        if old.source.name not in names:
            return old
        return _call(WIDEN, _SINGLE, tirx.BufferLoad(old.source, old.indices))

    def store(old: Any) -> Any:  # noqa: ANN401
        if old.buffer.name not in names:
            return old
        return tirx.BufferStore(old.buffer, _call(NARROW, _BITS, old.value), old.indices)

    return structural_map(function, [(Var, variable), (TensorLoad, load), (tirx.BufferStore, store)])


def _of_bits(old: Any) -> Any:  # noqa: ANN401
    """A buffer, or the pointer to one, with elements of 16 bits."""
    from tvm import tirx
    from tvm.ir import PointerType, PrimType

    if isinstance(old.ty, PointerType):
        return tirx.Var(old.name, PointerType(PrimType(_BITS), old.ty.storage_scope))
    return tirx.decl_buffer(old.ty.shape, _BITS, old.name, scope=old.scope())


def _call(prefix: str, dtype: str, value: Any) -> Any:  # noqa: ANN401
    """Convert each lane of a value."""
    from tvm import tirx

    lanes = value.ty.dtype.lanes
    return tirx.call_pure_extern(dtype if lanes == 1 else f"{dtype}x{lanes}", f"{prefix}{lanes}", value)
