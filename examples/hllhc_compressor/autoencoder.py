"""The encoder on the detector, in float and in a few bits, and the decoder off it."""

from __future__ import annotations

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from torch import Tensor, nn

FILTERS, CODES = 8, 16
WEIGHT_BITS, INPUT_BITS, HIDDEN_BITS = 6, 10, 8


class FloatEncoder(nn.Module):
    """3 x 3 convolution with stride 2 and 8 filters, then 16 dense outputs; both with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, FILTERS, 3, stride=2, padding=1)
        self.dense = nn.Linear(FILTERS * 16, CODES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Codes [N, 16] of pictures [N, 1, 8, 8]."""
        return torch.relu(self.dense(torch.relu(self.conv(pictures)).flatten(1)))


class QuantisedEncoder(nn.Module):
    """The same with 6 bits for weights, and scales that are powers of two.

    Args:
        code_bits: of each of the 16 outputs.
    """

    def __init__(self, code_bits: int) -> None:
        super().__init__()
        weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": WEIGHT_BITS}
        weights |= {"bias": True, "bias_quant": Int8BiasPerTensorFixedPointInternalScaling}
        values = {"act_quant": Uint8ActPerTensorFixedPoint}
        self.input = qnn.QuantIdentity(bit_width=INPUT_BITS, return_quant_tensor=True, **values)
        self.conv = qnn.QuantConv2d(1, FILTERS, 3, stride=2, padding=1, **weights)
        self.hidden = qnn.QuantReLU(bit_width=HIDDEN_BITS, return_quant_tensor=True, **values)
        self.flat = nn.Flatten()
        self.dense = qnn.QuantLinear(FILTERS * 16, CODES, **weights)
        self.last = qnn.QuantReLU(bit_width=code_bits, **values)

    @classmethod
    def of(cls, trained: FloatEncoder, code_bits: int) -> QuantisedEncoder:
        """Begin with the weights of a network that was trained in float."""
        made = cls(code_bits)
        with torch.no_grad():
            for mine, theirs in ((made.conv, trained.conv), (made.dense, trained.dense)):
                mine.weight.copy_(theirs.weight)
                mine.bias.copy_(theirs.bias)
        return made

    def forward(self, pictures: Tensor) -> Tensor:
        """Codes [N, 16] of pictures [N, 1, 8, 8]."""
        return self.last(self.dense(self.flat(self.hidden(self.conv(self.input(pictures))))))


class Decoder(nn.Module):
    """From 16 codes back to a picture of fractions, in float: it runs where there is power enough."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(CODES, 128),
            nn.ReLU(),
            nn.Unflatten(1, (FILTERS, 4, 4)),
            nn.ConvTranspose2d(FILTERS, FILTERS, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.Conv2d(FILTERS, 1, 3, padding=1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Pictures [N, 1, 8, 8] whose pixels add up to 1."""
        logits = self.layers(codes)
        return torch.softmax(logits.flatten(1), 1).reshape(logits.shape)
