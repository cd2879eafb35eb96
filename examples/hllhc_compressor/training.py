"""Training of encoders and decoders, in float and in few bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from geometry import CELLS
from metrics import movers_loss
from torch import Tensor, nn

_BATCH = 256

Loss = Callable[[Tensor, Tensor], Tensor]


def fit(
    encoder: nn.Module,
    decoder: nn.Module,
    inputs: Tensor,
    wanted: np.ndarray,
    *,
    steps: int,
    rate: float,
    loss: Loss = movers_loss,
) -> None:
    """Train both with Adam under a one-cycle schedule.

    Args:
        encoder: from inputs to what is sent.
        decoder: from that to fractions of cells.
        inputs: what the encoder reads, [N, ...].
        wanted: fractions [N, 48].
        steps: of 256 modules each, drawn by torch's generator.
        rate: the largest learning rate.
        loss: of what was wanted and what came back.
    """
    cells = torch.from_numpy(wanted)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    encoder.train()
    for _ in range(steps):
        rows = torch.randint(len(cells), (_BATCH,))
        value = loss(cells[rows], decoder(encoder(inputs[rows])))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    encoder.eval()


def decoded(encoder: nn.Module, decoder: nn.Module, inputs: Tensor) -> np.ndarray:
    """What comes back, fractions [N, 48]."""
    with torch.no_grad():
        made = decoder(encoder(inputs)).numpy()
    return np.asarray(made).reshape(-1, CELLS)
