"""Weights and activations of one bit that training sees through.

Forwards a sign, +1 for 0. Backwards the gradient of weights passes as it is (Courbariaux et al., BinaryConnect, 2015;
Brevitas' `binary_sign_ste`), that of activations as if the sign were the piecewise polynomial of Liu et al., Bi-Real
Net, ECCV 2018, section 3.3: 2 − 2|x| within one window of the threshold. Thresholds are learned for each channel, as
in Liu et al., ReActNet, ECCV 2020, section 4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from brevitas.function.ops_ste import binary_sign_ste
from torch import Tensor, nn

_SMALLEST_WINDOW = 1e-3


class _Sign(torch.autograd.Function):
    """The sign of activations over their window."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:  # noqa: ANN401  torch's own context
        context.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        (x,) = context.saved_tensors
        return gradient * (2 - 2 * x.abs()).clamp_min(0)


class BinaryActivation(nn.Module):
    """The sign of an input above a learned threshold for each channel.

    Args:
        threshold: float32 (channels,), to begin with.
        spatial: axes behind that of the channels; dense layers have their channels last.

    Attributes:
        window: how far from the threshold gradients still pass; set by `measure` to the input's deviation.
    """

    def __init__(self, threshold: np.ndarray, spatial: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))
        self.register_buffer("window", torch.ones(()))
        self._along = (-1, *(1,) * spatial)

    def forward(self, x: Tensor) -> Tensor:
        """−1 and +1."""
        signs: Tensor = _Sign.apply((x - self.threshold.reshape(self._along)) / self.window)
        return signs

    def measure(self, x: Tensor) -> None:
        """Fit the window to inputs; where none is negative, what a Relu left, the threshold begins at the mean."""
        with torch.no_grad():
            self.window.fill_(max(float(x.std()), _SMALLEST_WINDOW))
            if float(x.min()) >= 0 and not self.threshold.any():
                channels = x.movedim(x.dim() - len(self._along), -1).flatten(0, -2)
                self.threshold.copy_(channels.mean(0))


class BinaryWeights(nn.Module):
    """A parametrization: signs of the weights times a learned scale for each output channel (axis 0).

    Args:
        scale: float32 (channels,), to begin with; not 0.
    """

    def __init__(self, scale: np.ndarray) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, weights: Tensor) -> Tensor:
        """Weights of ±scale."""
        return binary_sign_ste(weights) * self.scale.reshape(-1, *[1] * (weights.dim() - 1))
