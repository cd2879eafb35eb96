"""Maxima and minima that start at an infinity, made splittable for a while.

TVM splits a reduction only if it knows its start value, and for extrema of floats it knows the finite limits alone.
Registering others from Python is no way out: the process would crash at its end, when TVM lets go of the functions
after Python is gone. As an infinity is the start value that is always right, putting it back afterwards is safe.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.backends.tvm.schedules.kernel_schedule import Function

_SIGNS = {"Max": -1.0, "Min": 1.0}


def with_finite_starts(function: Function) -> Function:
    """The function with infinite start values of float extrema replaced by the limits of the type."""
    return _with_starts(function, finite=True)


def with_infinite_starts(function: Function) -> Function:
    """The function with the limits of the type as start values of float extrema replaced by infinities."""
    return _with_starts(function, finite=False)


def _with_starts(function: Function, *, finite: bool) -> Function:
    from tvm import s_tir
    from tvm_ffi import structural_map

    block_type: type[Any] = s_tir.SBlock

    def rewritten(block: Any) -> Any:  # noqa: ANN401  TVM ships no types
        start = _start(block, finite=finite)
        if start is None:
            return block
        return block_type(
            block.iter_vars,
            block.reads,
            block.writes,
            block.name_hint,
            block.body,
            start,
            block.alloc_buffers,
            block.match_buffers,
            block.annotations,
        )

    return structural_map(function, (block_type, rewritten))


def _start(block: Any, *, finite: bool) -> Any:  # noqa: ANN401
    """The new initialisation of a block; None if it stays as it is."""
    from tvm import tirx

    init = block.init
    sign = _SIGNS.get(type(getattr(block.body, "value", None)).__name__)
    if init is None or sign is None or type(getattr(init, "value", None)).__name__ != "FloatImm":
        return None
    dtype = str(init.value.ty.dtype)
    if dtype not in ("float16", "float32", "float64"):
        return None
    limit = sign * float(np.finfo(dtype).max)
    old, new = (sign * math.inf, limit) if finite else (limit, sign * math.inf)
    if float(init.value.value) != old:
        return None
    return tirx.BufferStore(init.buffer, tirx.const(new, dtype), init.indices)
