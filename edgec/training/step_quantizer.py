"""Rounding to small integers that training sees through, with a step size that is learned.

The step is kept as its binary logarithm, so that it stays positive and a power of two is a whole number. Its gradient
is scaled by 1/√(elements · largest integer): Esser et al., Learned Step Size Quantization, 2020, section 2.2. Rounding
passes gradients straight through (Brevitas' `round_ste`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from brevitas.function.ops_ste import round_ste
from torch import Tensor, nn

from edgec.graph.quantization import Quantizer


class StepQuantizer(nn.Module):
    """A `Quantizer` whose scale is learned; zero point, bits and sign stay.

    Args:
        start: the quantizer to begin with.
        axis: of the tensor that it is applied to, where the scales go along one.
        power_of_two: whether the scale is rounded to a power of two.
        one_sample: whether the first axis is a batch, which does not count as elements of the tensor.

    Attributes:
        axis: as given.
    """

    def __init__(self, start: Quantizer, *, axis: int | None, power_of_two: bool, one_sample: bool) -> None:
        super().__init__()
        self._start, self.axis, self._power_of_two, self._one_sample = start, axis, power_of_two, one_sample
        self.logarithm = nn.Parameter(torch.tensor(np.log2(start.scale)))
        self.register_buffer("zero_point", torch.tensor(start.zero_point.astype(np.float32)))

    def forward(self, numbers: Tensor) -> Tensor:
        """What is left of the numbers after quantization, computed as ONNX's QuantizeLinear and DequantizeLinear do."""
        steps, scale = self._steps(numbers)
        return steps * scale

    def scale(self, elements: int = 1) -> Tensor:
        """The step size; its gradient is scaled for a tensor of so many elements."""
        share = 1 / math.sqrt(elements * max(self._start.high, 1))
        fixed = self.logarithm.detach()
        moving = share * (self.logarithm - fixed)
        if self._power_of_two:
            return torch.ldexp(torch.ones_like(fixed), fixed.round().int()) * torch.exp2(moving)
        return torch.exp2(fixed) * torch.exp2(moving)

    def integers(self, numbers: Tensor) -> Tensor:
        """The integers that stand for the numbers."""
        with torch.no_grad():
            steps, _ = self._steps(numbers)
            return steps + self._along(self.zero_point, numbers.dim())

    def learned(self, axis: int | None, factors: np.ndarray | None = None) -> Quantizer:
        """The quantizer with the scale of now, times factors if there are any; several scales go along the axis."""
        scale = self.scale().detach().numpy()
        scale = np.asarray(scale if factors is None else scale * factors, np.float32)
        start = self._start
        zero = np.broadcast_to(start.zero_point, scale.shape).copy()
        return Quantizer(scale, zero, start.bits, start.signed, start.narrow, axis if scale.ndim else None)

    def extra_repr(self) -> str:
        """What tells two quantizers apart, for the key of a training."""
        start = self._start
        return f"{start.bits} bits, {start.low} to {start.high}, axis {self.axis}, power of two {self._power_of_two}"

    def _steps(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Integers less the zero point, as floats, and the step size in the shape that multiplies them."""
        elements = numbers.numel() // (numbers.shape[0] if self._one_sample else max(self.logarithm.numel(), 1))
        scale = self._along(self.scale(elements), numbers.dim())
        zero = self._along(self.zero_point, numbers.dim())
        return round_ste(numbers / scale).clamp(self._start.low - zero, self._start.high - zero), scale

    def _along(self, values: Tensor, rank: int) -> Tensor:
        if self.axis is None or values.dim() == 0:
            return values
        shape = [1] * rank
        shape[self.axis] = -1
        return values.reshape(shape)


class BiasRounding(nn.Module):
    """Rounds a bias to whole steps of the sums, input scale times weight scale, as integer kernels add it.

    Args:
        weights: quantizer of the layer's weights.
        read: quantizer of its input.
    """

    def __init__(self, weights: StepQuantizer, read: StepQuantizer) -> None:
        super().__init__()
        # A tuple hides the two from torch: their parameters belong to the layer and to the input.
        self._factors = (weights, read)

    def forward(self, bias: Tensor) -> Tensor:
        """The rounded bias."""
        step = (self._factors[0].scale() * self._factors[1].scale()).detach()
        return round_ste(bias / step) * step
