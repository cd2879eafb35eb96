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
_MOST_DISTRIBUTIONS = 1024
"""More would learn too little from each sample; the latents of whole photographs have tens of thousands of elements."""


class FactorizedPrior(nn.Module):
    """Rounds a latent to integers and knows their probabilities, each channel or each element for itself.

    While the network trains, rounding is replaced by noise of its size, so that gradients pass; with `noise = False` it
    rounds then too. Bits are counted while `priced`, with noise in both cases: Minnen and Singh, "Channel-wise
    autoregressive entropy models for learned image compression", 2020, section 3.3. A cumulative distribution is a
    small monotone network: Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, appendix
    6.1. There, a picture may have any size, and a channel has one; a latent of few elements, always the same ones, has
    one for each of them, as the entropy coder will tell elements apart, too.

    Args:
        shape: of the latent of a sample, [channels, ...].
        weight: of a thousand bits a sample, in the loss.
    """

    def __init__(self, shape: tuple[int, ...], weight: float) -> None:
        super().__init__()
        elements = math.prod(shape)
        self.channels = shape[0]
        self.distributions = elements if elements <= _MOST_DISTRIBUTIONS else self.channels
        self.weight, self.noise, self.priced = weight, True, True
        # How much noise was drawn: a buffer, so that a training that goes on draws what it would have drawn.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self._bits: list[Tensor] = []
        spread = _FIRST_SPREAD ** (1 / (len(_WIDTHS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(_WIDTHS):
            start = math.log(math.expm1(1 / spread / outputs))
            self.matrices.append(nn.Parameter(torch.full((self.distributions, outputs, inputs), start)))
            # Different biases at first, the same in every run: equal ones would stay equal.
            first = torch.linspace(-0.5, 0.5, outputs).reshape(1, outputs, 1).expand(self.distributions, -1, -1)
            self.biases.append(nn.Parameter(first.clone()))
            self.factors.append(nn.Parameter(torch.zeros(self.distributions, outputs, 1)))

    def forward(self, latent: Tensor) -> Tensor:
        """The latent as the decoder gets it."""
        rounded = round_ste(latent).clamp(LOWEST, HIGHEST)
        if not self.training or not (self.noise or self.priced):
            return rounded
        relaxed = latent + self._noise(latent)
        if self.priced:
            self._bits.append(self._information(relaxed))
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
        """For each channel the mean probability of each int8, float64 [channels, 256]."""
        with torch.no_grad():
            symbols = torch.arange(LOWEST, HIGHEST + 1, dtype=torch.float32)
            likely = self._probabilities(symbols.expand(self.distributions, 1, -1)).double()
            means: np.ndarray = likely.reshape(self.channels, -1, len(symbols)).mean(1).numpy()
        return means

    def extra_repr(self) -> str:
        """What tells two priors apart, for the key of a training."""
        return f"{self.distributions} distributions, weight {self.weight}, noise {self.noise}"

    def _noise(self, latent: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(self.draws))
        self.draws += 1
        return torch.rand(latent.shape, generator=generator) - 0.5

    def _information(self, received: Tensor) -> Tensor:
        """Bits of each sample of a latent [samples, channels, ...]."""
        apart = received.reshape(len(received), self.distributions, -1).transpose(0, 1)
        probabilities = self._probabilities(apart.reshape(self.distributions, 1, -1))
        bits = -torch.log2(probabilities.clamp_min(_SMALLEST_PROBABILITY))
        return bits.reshape(apart.shape).sum((0, 2))

    def _probabilities(self, numbers: Tensor) -> Tensor:
        """The probability of the interval of width 1 around numbers [distributions, 1, n]."""
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
