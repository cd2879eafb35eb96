"""Constants that TVM's OpenCL text keeps to the last bit.

TVM prints floats with seven digits, two less than it takes to tell all of them apart. A constant that would change
becomes the sum of two that print well enough for the sum to be rounded to it; compilers fold it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def with_printable_constants(module: Any) -> Any:  # noqa: ANN401  TVM ships no types
    """The module with each constant of fp32 in a form whose text is exact."""
    import tvm
    from tvm.tirx import FloatImm
    from tvm_ffi import structural_map

    functions = {name: structural_map(function, (FloatImm, _exact)) for name, function in module.functions_items()}
    return tvm.IRModule(functions, attrs=module.attrs)


def _exact(constant: Any) -> Any:  # noqa: ANN401
    from tvm import tirx

    value = float(constant.value)
    if str(constant.ty.dtype) != "float32" or not math.isfinite(value):
        return constant
    wanted = np.float32(value)
    printed = np.float32(f"{value:e}")
    if printed == wanted:
        return constant
    rest = float(wanted) - float(printed)
    return tirx.Add(tirx.const(float(printed), "float32"), tirx.const(rest, "float32"))
