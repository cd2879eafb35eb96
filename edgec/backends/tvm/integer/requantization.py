"""From int32 sums back to eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from tvm import te, tirx

from edgec.backends.tvm.contraction import Expression, Tensor
from edgec.backends.tvm.kernel_graph import Pattern, Value
from edgec.backends.tvm.lowering import Lowering

_LARGEST_FACTOR = 0.5
"""Up to this an int32 stays an int32 when it is multiplied, rounded and shifted."""


@dataclass(frozen=True)
class Requantization:
    """From int32 sums to a quantized output: multiplied, rounded to even, shifted, saturated.

    Attributes:
        factor: scale of the sums over the scale of the output, float32; one element, or one for each element of the
            last axis.
        zero_point: what stands for zero in the output.
        dtype: of the output, `int8` or `uint8`.
        converts_to_nearest: whether the core converts float32 to the nearest int32 in one instruction, as x86 does.
    """

    factor: np.ndarray
    zero_point: int
    dtype: str
    converts_to_nearest: bool = False

    def operands(self, lowering: Lowering, name: str) -> tuple[Value, ...]:
        """The constants that `element` reads: the factors, unless there is a single one."""
        flat = self.factor.astype(np.float32).reshape(-1)
        return () if flat.shape[0] == 1 else (lowering.literal(f"{name}.factor", flat),)

    def element(self, total: Expression, factors: Sequence[Tensor], channel: Expression) -> Expression:
        """The quantized form of one int32 sum."""
        limits = np.iinfo(self.dtype)
        single = tirx.const(float(np.float32(self.factor.reshape(-1)[0])), "float32")
        scale = factors[0](channel) if factors else single
        product = tirx.Cast("float32", total) * scale
        if self.converts_to_nearest and float(self.factor.max()) <= _LARGEST_FACTOR:
            rounded, dtype = _nearest(product), "int32"
        else:
            rounded, dtype = tirx.nearbyint(product), "float32"
        shifted = rounded + tirx.const(self.zero_point, dtype) if self.zero_point else rounded
        low, high = (tirx.const(int(limit), dtype) for limit in (limits.min, limits.max))
        clamped = tirx.min(tirx.max(shifted, low), high)
        return tirx.Cast(self.dtype, clamped if dtype == "int32" else tirx.Cast("int32", clamped))

    def emit(self, lowering: Lowering, node: ir.Node, sums: Value, name: str) -> Value:
        """Append an operation of its own for sums in memory."""

        def compute(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
            def at(*indices: Expression) -> Expression:
                return self.element(tensors[0](*indices), tensors[1:], indices[-1])

            return [te.compute(sums.shape, at, name="requantized")]

        operands = (sums, *self.operands(lowering, name))
        return lowering.emit(node, Pattern.ELEMENTWISE, operands, (name, sums.shape, self.dtype), compute)


def _nearest(x: Expression) -> Expression:
    """The nearest int32 of a float32 that has one, halves to even."""
    import tvm

    identifier = tvm.target.codegen.llvm_lookup_intrinsic_id("llvm.lrint")
    return tirx.call_llvm_pure_intrin("int32", tirx.const(identifier, "uint32"), x)
