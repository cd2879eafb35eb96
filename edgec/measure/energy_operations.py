"""Energy of arithmetic and of access to memory, to divide a device's energy among the layers.

Source: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm at
0.9 V, as other papers quote it. Newer processes need less of each; only the ratios are used.
"""

from __future__ import annotations

_MULTIPLY_ADD_PJ = {"float32": 3.7 + 0.9, "float16": 1.1 + 0.4, "int8": 0.2 + 0.1, "uint8": 0.2 + 0.1}
"""Picojoules of a multiplication and an addition; integers are added in 32 bits."""
_CACHE_PJ_PER_BYTE = 100 / 8
"""A 64-bit access to a cache of 1 MB."""


def operation_energy_pj(macs: float, moved: float, precision: str) -> float:
    """Picojoules of a kernel.

    Args:
        macs: multiply-accumulates.
        moved: bytes that it reads and writes.
        precision: element type that it computes in; an unknown one counts as float32.
    """
    multiply_add = _MULTIPLY_ADD_PJ.get(precision, _MULTIPLY_ADD_PJ["float32"])
    return macs * multiply_add + moved * _CACHE_PJ_PER_BYTE
