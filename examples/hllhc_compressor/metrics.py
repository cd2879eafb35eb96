"""How much of a shower is left: the telescope loss of the training, and the energy mover's distance of the table."""

from __future__ import annotations

import torch
from geometry import distances
from torch import Tensor
from torch.nn.functional import avg_pool2d

_BLUR = 0.05
_ROUNDS = 60


def telescope_loss(wanted: Tensor, made: Tensor) -> Tensor:
    """4 L(cells) + 2 L(sums of 2 x 2) + L(sums of 4 x 4), with squared errors weighted by the larger of both.

    Source: Di Guglielmo et al., "A reconfigurable neural network ASIC for detector front-end data compression at the
    HL-LHC", 2021, and its code.

    Args:
        wanted: pictures [N, 1, 8, 8] of fractions.
        made: what was decoded.
    """
    cells = _weighted(wanted, made)
    pairs = _weighted(*(4 * avg_pool2d(each, 2, 1) for each in (wanted, made)))
    fours = _weighted(*(16 * avg_pool2d(each, 4) for each in (wanted, made)))
    return 4 * cells + 2 * pairs + fours


def movers_distance(wanted: Tensor, made: Tensor) -> Tensor:
    """Energy mover's distance [N] of cells [N, 48], each divided by its sum: in sides of a cell.

    Entropic (Cuturi, "Sinkhorn Distances", 2013) in the logarithmic domain, with a blur that shrinks to 0.05 of a side;
    it is above the exact distance by less than the blur.
    """
    cost = torch.as_tensor(distances(), dtype=torch.float32)
    logs = [torch.log(each.clamp_min(1e-9) / each.clamp_min(1e-9).sum(1, keepdim=True)) for each in (wanted, made)]
    left, right = torch.zeros_like(logs[0]), torch.zeros_like(logs[1])
    blur = float(cost.max())
    for _ in range(_ROUNDS):
        blur = max(_BLUR, 0.8 * blur)
        left = -blur * torch.logsumexp((right[:, None, :] - cost) / blur + logs[1][:, None, :], 2)
        right = -blur * torch.logsumexp((left[:, :, None] - cost) / blur + logs[0][:, :, None], 1)
    plan = torch.exp((left[:, :, None] + right[:, None, :] - cost) / blur + logs[0][:, :, None] + logs[1][:, None, :])
    return (plan * cost).sum((1, 2))


def _weighted(wanted: Tensor, made: Tensor) -> Tensor:
    return (((wanted - made) ** 2) * torch.maximum(wanted, made)).mean()
