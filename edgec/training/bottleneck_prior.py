"""A learnt model of the symbols of a latent tensor: what they will cost the entropy coder, while they are learnt."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from brevitas.function.ops_ste import round_ste
from torch import Tensor, nn
from torch.nn.functional import softplus

LOWEST, HIGHEST = -128, 127
"""A latent travels as int8."""

_WIDTHS = (1, 3, 3, 3, 1)
_FIRST_SPREAD = 10.0
_SMALLEST_PROBABILITY = 1e-9


class FactorizedPrior(nn.Module):
    """Rounds a latent to integers and knows their probabilities, each channel for itself.

    While the network trains, rounding is replaced by noise of its size, so that gradients pass; with `noise = False` it
    rounds then too. Bits are counted while `priced`, with noise in both cases: Minnen and Singh, "Channel-wise
    autoregressive entropy models for learned image compression", 2020, section 3.3. The cumulative distribution of a
    channel is a small monotone network: Ballé et al., "Variational image compression with a scale hyperprior", ICLR
    2018, appendix 6.1.

    Args:
        channels: of the latent [samples, channels, ...].
        weight: of a thousand bits a sample, in the loss.
    """

    def __init__(self, channels: int, weight: float) -> None:
        super().__init__()
        self.channels, self.weight, self.noise, self.priced = channels, weight, True, True
        # How much noise was drawn: a buffer, so that a training that goes on draws what it would have drawn.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self._bits: list[Tensor] = []
        spread = _FIRST_SPREAD ** (1 / (len(_WIDTHS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(_WIDTHS):
            start = math.log(math.expm1(1 / spread / outputs))
            self.matrices.append(nn.Parameter(torch.full((channels, outputs, inputs), start)))
            # Different biases at first, the same in every run: equal ones would stay equal.
            first = torch.linspace(-0.5, 0.5, outputs).reshape(1, outputs, 1).expand(channels, -1, -1)
            self.biases.append(nn.Parameter(first.clone()))
            self.factors.append(nn.Parameter(torch.zeros(channels, outputs, 1)))

    def forward(self, latent: Tensor) -> Tensor:
        """The latent as the decoder gets it."""
        rounded = round_ste(latent).clamp(LOWEST, HIGHEST)
        if not self.training or not (self.noise or self.priced):
            return rounded
        relaxed = latent + self._noise(latent)
        if self.priced:
            self._bits.append(self._information(relaxed).reshape(len(latent), -1).sum(1))
        return relaxed if self.noise else rounded

    def penalty(self) -> Tensor:
        """The weighted mean of the bits of the samples since it was asked last."""
        bits = torch.cat(self._bits)
        self._bits.clear()
        return self.weight * bits.mean() / 1000

    def integers(self, latent: Tensor) -> np.ndarray:
        """A latent as it travels, int8."""
        with torch.no_grad():
            rounded: np.ndarray = torch.round(latent).clamp(LOWEST, HIGHEST).to(torch.int8).numpy()
        return rounded

    def probabilities(self) -> np.ndarray:
        """For each channel the probability of each int8, float64 [channels, 256]."""
        with torch.no_grad():
            symbols = torch.arange(LOWEST, HIGHEST + 1, dtype=torch.float32)
            likely: np.ndarray = self._probabilities(symbols.expand(self.channels, 1, -1)).double()[:, 0].numpy()
        return likely

    def extra_repr(self) -> str:
        """What tells two priors apart, for the key of a training."""
        return f"{self.channels} channels, weight {self.weight}, noise {self.noise}"

    def _noise(self, latent: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(self.draws))
        self.draws += 1
        return torch.rand(latent.shape, generator=generator) - 0.5

    def _information(self, received: Tensor) -> Tensor:
        """Bits of each element of a latent [samples, channels, ...]."""
        by_channel = received.transpose(0, 1)
        flat = by_channel.reshape(self.channels, 1, -1)
        bits = -torch.log2(self._probabilities(flat).clamp_min(_SMALLEST_PROBABILITY))
        return bits.reshape(by_channel.shape).transpose(0, 1)

    def _probabilities(self, numbers: Tensor) -> Tensor:
        """The probability of the interval of width 1 around numbers [channels, 1, n]."""
        below, above = self._logits(numbers - 0.5), self._logits(numbers + 0.5)
        # Differences of sigmoids near 1 lose their digits: both are turned to the side near 0.
        sign = -torch.sign(below + above).detach()
        return (torch.sigmoid(sign * above) - torch.sigmoid(sign * below)).abs()

    def _logits(self, numbers: Tensor) -> Tensor:
        last = len(self.matrices) - 1
        for layer, (matrix, bias, factor) in enumerate(zip(self.matrices, self.biases, self.factors, strict=True)):
            numbers = torch.matmul(softplus(matrix), numbers) + bias
            if layer < last:
                numbers = numbers + torch.tanh(factor) * torch.tanh(numbers)
        return numbers
