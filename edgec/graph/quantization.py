"""How numbers become small integers: the quantizer of one value, and the plan of a whole model.

Whoever decides (calibration, training) makes a `QuantizationPlan`; `quantization_writer` puts it into a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgec.core.codes.quantization import QUANTIZER_INVALID
from edgec.core.errors import EdgecError

_STORAGE_BITS = (8, 16)


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Uniform affine quantization: x ≈ (integer − zero point) · scale.

    One bit, signed, is bipolar: the integers are −1 and +1, as in QONNX's BipolarQuant.

    Attributes:
        scale: float32, positive; shape () or, along `axis`, (channels,).
        zero_point: int64, the integer that stands for 0; of the shape of `scale`.
        bits: 1 to 16.
        signed: whether the integers are centred on 0 or begin there.
        narrow: whether the lowest signed (or highest unsigned) integer is left out, so that the range is symmetric.
        axis: which axis of the tensor the scales go along; None for one scale.

    Raises:
        EdgecError: EC0340 where these do not fit together.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    bits: int = 8
    signed: bool = True
    narrow: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        rank = 0 if self.axis is None else 1
        problem = ""
        if not 1 <= self.bits <= _STORAGE_BITS[-1]:
            problem = f"{self.bits} bits"
        elif self.scale.ndim != rank or self.scale.shape != self.zero_point.shape:
            problem = f"scales of shape {self.scale.shape} and zero points of {self.zero_point.shape}, axis {self.axis}"
        elif self.scale.dtype != np.float32 or not np.all(np.isfinite(self.scale) & (self.scale > 0)):
            problem = "scales that are not positive float32 numbers"
        elif np.any((self.zero_point < self.low) | (self.zero_point > self.high)):
            problem = f"zero points outside {self.low} to {self.high}"
        if problem:
            raise EdgecError(QUANTIZER_INVALID, f"a quantizer has {problem}", hint=QUANTIZER_INVALID.remedy)

    @property
    def bipolar(self) -> bool:
        """Whether only −1 and +1 are represented."""
        return self.bits == 1 and self.signed

    @property
    def low(self) -> int:
        """The lowest integer."""
        if self.bipolar:
            return -1
        lowest: int = -(2 ** (self.bits - 1)) + int(self.narrow)
        return lowest if self.signed else 0

    @property
    def high(self) -> int:
        """The highest integer."""
        if self.bipolar:
            return 1
        highest: int = 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1 - int(self.narrow)
        return highest

    @property
    def dtype(self) -> np.dtype:
        """The narrowest numpy type that holds the integers."""
        width = next(width for width in _STORAGE_BITS if self.bits <= width)
        return np.dtype(f"{'' if self.signed else 'u'}int{width}")

    @property
    def fills_its_type(self) -> bool:
        """Whether saturation to the type is saturation to the range."""
        limits = np.iinfo(self.dtype)
        return (self.low, self.high) == (limits.min, limits.max)

    def quantize(self, numbers: np.ndarray) -> np.ndarray:
        """Integers of `dtype`: rounded half to even, then saturated, bit for bit as ONNX's QuantizeLinear.

        Args:
            numbers: any float array; computed with in float32.
        """
        scale, zero_point = self._broadcast(numbers.ndim)
        if self.bipolar:
            return np.where(numbers >= 0, 1, -1).astype(self.dtype)
        steps = np.rint(np.asarray(numbers, np.float32) / scale).astype(np.float64) + zero_point
        integers: np.ndarray = np.clip(steps, self.low, self.high).astype(self.dtype)
        return integers

    def dequantize(self, integers: np.ndarray) -> np.ndarray:
        """The float32 numbers that integers stand for, bit for bit as ONNX's DequantizeLinear."""
        scale, zero_point = self._broadcast(integers.ndim)
        numbers: np.ndarray = (integers.astype(np.int64) - zero_point).astype(np.float32) * scale
        return numbers

    def round_trip(self, numbers: np.ndarray) -> np.ndarray:
        """What is left of numbers after quantization, float32."""
        return self.dequantize(self.quantize(numbers))

    @classmethod
    def symmetric(
        cls,
        largest: np.ndarray | float,
        *,
        bits: int = 8,
        axis: int | None = None,
        narrow: bool = True,
        power_of_two: bool = False,
    ) -> Quantizer:
        """Signed, zero at zero, reaching as far as `largest` (one number, or one for each channel of `axis`)."""
        steps = 1 if bits == 1 else 2 ** (bits - 1) - 1
        scale = _positive(np.asarray(largest, np.float64) / steps, power_of_two)
        return cls(scale, np.zeros(scale.shape, np.int64), bits, True, narrow and bits > 1, axis)

    @classmethod
    def asymmetric(
        cls, low: float, high: float, *, bits: int = 8, signed: bool = False, power_of_two: bool = False
    ) -> Quantizer:
        """One scale for [low, high], widened to hold 0, which is represented exactly."""
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        scale = _positive(np.asarray((high - low) / (2**bits - 1)), power_of_two)
        least = -(2 ** (bits - 1)) if signed else 0
        zero_point = int(np.clip(np.rint(least - low / float(scale)), least, least + 2**bits - 1))
        return cls(scale, np.asarray(zero_point, np.int64), bits, signed)

    def _broadcast(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        if self.axis is None:
            return self.scale, self.zero_point
        shape = [1] * rank
        shape[self.axis] = -1
        return self.scale.reshape(shape), self.zero_point.reshape(shape)


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """Weights of one node as integers.

    Attributes:
        quantizer: how the integers are meant; `axis` is that of the output channels.
        integers: of the shape of the weights, of `quantizer.dtype`.
        bias: float32 that replaces the bias of the node; None to keep it. The writer rounds it to integers.
    """

    quantizer: Quantizer
    integers: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class QuantizationPlan:
    """What is quantized in a model, and how.

    Attributes:
        values: quantizer of a computed value or input of the graph, by its name: whoever reads it then reads what is
            left of it after quantization.
        weights: weights of a node with a constant second input (Conv, ConvTranspose, Gemm, MatMul), by its name.
    """

    values: Mapping[str, Quantizer] = field(default_factory=dict)
    weights: Mapping[str, QuantizedWeights] = field(default_factory=dict)


def _positive(scale: np.ndarray, power_of_two: bool) -> np.ndarray:
    """Scales as float32; a range of nothing but zero gets 1, and powers of two are rounded up so that nothing is cut.

    Scales so small that their product with another would be subnormal are raised.
    """
    raised = np.where(scale > 0, np.maximum(scale, 2.0**-60), 1.0)
    if power_of_two:
        raised = np.exp2(np.ceil(np.log2(raised) - 1e-6))
    return np.asarray(raised, np.float32)
