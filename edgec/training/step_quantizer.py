"""Brevitas' quantisers with learned scales, rounding as ONNX does.

A step is Brevitas' `ParameterScaling`: its binary logarithm is learned, so that it stays positive and a power of two is
a whole number. Its gradient is scaled by 1/√(elements · largest integer): Esser et al., Learned Step Size Quantization,
2020, section 2.2. Rounding passes gradients straight through.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from brevitas.core.function_wrapper import Identity, RoundSte, TensorClamp
from brevitas.core.quant import IntQuant
from brevitas.core.restrict_val import LogFloatRestrictValue, PowerOfTwoRestrictValue
from brevitas.core.scaling import ParameterScaling
from brevitas.function.ops_ste import round_ste
from torch import Tensor, nn

from edgec.graph.quantization import Quantizer


class RoundingFirst(IntQuant):
    """Brevitas' integers, but rounded before the zero point is added, as QuantizeLinear of ONNX does.

    Brevitas adds first. Halves go to the even neighbour, and with an odd zero point that is another one.
    """

    def to_int(self, scale: Tensor, zero_point: Tensor, bit_width: Tensor, x: Tensor) -> Tensor:
        """The integers of `x`, as floats."""
        steps = self.float_to_int_impl(self.input_view_impl(x) / scale) + zero_point
        least, largest = self.min_int(bit_width), self.max_int(bit_width)
        clamped: Tensor = self.tensor_clamp_impl(steps, min_val=least, max_val=largest)
        return clamped


class StepQuantizer(nn.Module):
    """A `Quantizer` whose scale is learned; zero point, bits and sign stay.

    Args:
        start: the quantizer to begin with.
        axis: of the tensor that it is applied to, where the scales go along one.
        rank: of that tensor; needed with an axis only.
        power_of_two: whether the scale is rounded to a power of two.
        one_sample: whether the first axis is a batch, which does not count as elements of the tensor.

    Attributes:
        axis: as given.
    """

    def __init__(
        self, start: Quantizer, *, axis: int | None, rank: int = 1, power_of_two: bool, one_sample: bool
    ) -> None:
        super().__init__()
        self._start, self.axis, self._power_of_two, self._one_sample = start, axis, power_of_two, one_sample
        shape = [1] * rank
        if axis is not None and start.scale.ndim:
            shape[axis] = -1
        restriction = PowerOfTwoRestrictValue() if power_of_two else LogFloatRestrictValue()
        self.scaling = ParameterScaling(torch.tensor(start.scale).reshape(shape), restrict_scaling_impl=restriction)
        self.rounding = RoundingFirst(start.narrow, start.signed, Identity(), RoundSte(), TensorClamp())
        self.register_buffer("zero_point", torch.tensor(start.zero_point.astype(np.float32)).reshape(shape))
        self.register_buffer("bits", torch.tensor(float(start.bits)))

    def forward(self, numbers: Tensor) -> Tensor:
        """What is left of the numbers after quantization, computed as ONNX's QuantizeLinear and DequantizeLinear do."""
        scale = self.scaling(numbers)
        if scale.requires_grad:
            elements = numbers.numel() // (numbers.shape[0] if self._one_sample else scale.numel())
            share = 1 / math.sqrt(elements * max(self._start.high, 1))
            scale.register_hook(lambda gradient: share * gradient)
        rounded: Tensor = self.rounding(scale, self.zero_point, self.bits, numbers)
        return rounded

    def scale(self) -> Tensor:
        """The step sizes as they are now: one, or one for each place of the axis."""
        scale: Tensor = self.scaling(self.zero_point).detach()
        return scale.reshape(self._start.scale.shape)

    def integers(self, numbers: Tensor) -> Tensor:
        """The integers that stand for the numbers."""
        with torch.no_grad():
            integers: Tensor = self.rounding.to_int(self.scaling(numbers), self.zero_point, self.bits, numbers)
        return integers

    def learned(self, axis: int | None, factors: np.ndarray | None = None) -> Quantizer:
        """The quantizer with the scale of now, times factors if there are any; several scales go along the axis."""
        scale = self.scale().numpy()
        scale = np.asarray(scale if factors is None else scale * factors, np.float32)
        start = self._start
        zero = np.broadcast_to(start.zero_point, scale.shape).copy()
        return Quantizer(scale, zero, start.bits, start.signed, start.narrow, axis if scale.ndim else None)

    def extra_repr(self) -> str:
        """What tells two quantizers apart, for the key of a training."""
        start = self._start
        return f"{start.bits} bits, {start.low} to {start.high}, axis {self.axis}, power of two {self._power_of_two}"


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
        step = self._factors[0].scale() * self._factors[1].scale()
        return round_ste(bias / step) * step
