"""Vectors of bytes gathered from memory, as OpenCL C writes them.

TVM packs four gathered bytes into an int, as CUDA holds them; OpenCL has a type of its own.
"""

from __future__ import annotations

from typing import Any

_TYPES = {"int8": "char", "uint8": "uchar"}


def with_gathered_bytes(module: Any) -> Any:  # noqa: ANN401  TVM ships no types
    """The module with each gathered vector of bytes made of its elements."""
    import tvm
    from tvm.ir import TensorLoad
    from tvm_ffi import structural_map

    functions = {name: structural_map(function, (TensorLoad, _gathered)) for name, function in module.functions_items()}
    return tvm.IRModule(functions, attrs=module.attrs)


def _gathered(load: Any) -> Any:  # noqa: ANN401
    from tvm import tirx

    element, _, lanes = str(load.ty.dtype).partition("x")
    place = load.indices[0]
    if element not in _TYPES or not lanes or not isinstance(place, tirx.Ramp) or _is_one(place.stride):
        return load
    parts = [tirx.BufferLoad(load.source, [place.base + place.stride * lane]) for lane in range(int(lanes))]
    return tirx.call_pure_extern(str(load.ty.dtype), f"({_TYPES[element]}{lanes})", *parts)


def _is_one(stride: Any) -> bool:  # noqa: ANN401
    from tvm import tirx

    return isinstance(stride, tirx.IntImm) and int(stride) == 1
