"""The encoder on the detector, in float and in a few bits, and the decoder off it."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.quant import (
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from geometry import REMAP_8X8, to_pictures
from torch import Tensor, nn

FILTERS, CODES = 8, 16
WEIGHT_BITS, INPUT_BITS, HIDDEN_BITS = 6, 10, 8
_WIDTH, _DECODER_FILTERS = 256, 16
_INPUT_SCALE = 8.0
"""Ten bits with three before the point, as the chip has: most cells hold a few hundredths of their module."""


def encoder_input(cells: np.ndarray) -> Tensor:
    """What the encoder reads, [N, 1, 8, 8], of fractions [N, 48]."""
    return torch.from_numpy(to_pictures(cells * np.float32(_INPUT_SCALE)))


class FloatEncoder(nn.Module):
    """3 x 3 convolution with stride 2 and 8 filters, then 16 dense outputs; both with ReLU.

    Args:
        alive: begin where every output is above 0: one that begins below is 0 for all showers, and stays so.
    """

    def __init__(self, *, alive: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, FILTERS, 3, stride=2, padding=1)
        self.dense = nn.Linear(FILTERS * 16, CODES)
        if alive:
            with torch.no_grad():
                self.conv.bias.abs_()
                self.dense.bias.add_(1.0)

    def forward(self, pictures: Tensor) -> Tensor:
        """Codes [N, 16] of pictures [N, 1, 8, 8]."""
        return torch.relu(self.dense(torch.relu(self.conv(pictures)).flatten(1)))


class QuantisedEncoder(nn.Module):
    """The same in few bits, and with scales that are powers of two.

    Args:
        code_bits: of each of the 16 outputs.
        weight_bits: of each weight.
    """

    def __init__(self, code_bits: int, weight_bits: int = WEIGHT_BITS) -> None:
        super().__init__()
        weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": weight_bits}
        weights |= {"bias": True, "bias_quant": Int8BiasPerTensorFixedPointInternalScaling}
        values = {"act_quant": Uint8ActPerTensorFixedPoint}
        self.input = qnn.QuantIdentity(bit_width=INPUT_BITS, return_quant_tensor=True, **values)
        self.conv = qnn.QuantConv2d(1, FILTERS, 3, stride=2, padding=1, **weights)
        self.hidden = qnn.QuantReLU(bit_width=HIDDEN_BITS, return_quant_tensor=True, **values)
        self.flat = nn.Flatten()
        self.dense = qnn.QuantLinear(FILTERS * 16, CODES, **weights)
        self.last = qnn.QuantReLU(bit_width=code_bits, **values)

    @classmethod
    def of(cls, trained: FloatEncoder, code_bits: int, weight_bits: int = WEIGHT_BITS) -> QuantisedEncoder:
        """Begin with the weights of a network that was trained in float."""
        made = cls(code_bits, weight_bits)
        with torch.no_grad():
            for mine, theirs in ((made.conv, trained.conv), (made.dense, trained.dense)):
                mine.weight.copy_(theirs.weight)
                mine.bias.copy_(theirs.bias)
        return made

    def forward(self, pictures: Tensor) -> Tensor:
        """Codes [N, 16] of pictures [N, 1, 8, 8]."""
        return self.last(self.dense(self.flat(self.hidden(self.conv(self.input(pictures))))))


class Decoder(nn.Module):
    """From what was sent back to fractions of the cells, in float: it runs where there is power enough.

    Args:
        sent: how many values a module sends.
    """

    def __init__(self, sent: int = CODES) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(sent, _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, _DECODER_FILTERS * 16),
            nn.ReLU(),
            nn.Unflatten(1, (_DECODER_FILTERS, 4, 4)),
            nn.ConvTranspose2d(_DECODER_FILTERS, _DECODER_FILTERS, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.Conv2d(_DECODER_FILTERS, 1, 3, padding=1),
        )
        self.register_buffer("pixels", torch.from_numpy(REMAP_8X8))

    def forward(self, codes: Tensor) -> Tensor:
        """Fractions [N, 48], which add up to 1."""
        return torch.softmax(self.layers(codes).flatten(1)[:, self.pixels], 1)
