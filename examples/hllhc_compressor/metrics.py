"""How much of a shower is left: two losses of the training, and the energy mover's distance of the table."""

from __future__ import annotations

import numpy as np
import torch
from geometry import CELLS, distances, windows
from torch import Tensor

_BLUR = 0.3
"""Of the loss, in sides of a cell: a third of the way to the next cell."""

_ROUNDS = 15
_RHOMBI = 3


def telescope_loss(wanted: Tensor, made: Tensor) -> Tensor:
    """4 L(cells) + 2 L(sums of 2 x 2) + L(sums of 4 x 4), with squared errors weighted by the larger of both.

    The sums of 2 x 2 are those of all 36 squares of neighbours, with weights that let each cell count as much as any.
    Source: Di Guglielmo et al., "A reconfigurable neural network ASIC for detector front-end data compression at the
    HL-LHC", 2021, and its code (fastml-science/sensor-data-compression).

    Args:
        wanted: fractions of the cells [N, 48].
        made: what was decoded.
    """
    squares = torch.from_numpy(windows())
    weights = 0.25 * squares @ (1 / squares.sum(0))
    pairs = _weighted(wanted @ squares.T, made @ squares.T) * weights
    rhombi = [each.unflatten(1, (_RHOMBI, CELLS // _RHOMBI)).sum(2) for each in (wanted, made)]
    return 4 * _weighted(wanted, made).mean() + 2 * pairs.mean() + _weighted(*rhombi).mean()


def movers_loss(wanted: Tensor, made: Tensor) -> Tensor:
    """Mean energy mover's distance with a blur, of which gradients can be had; the sums of both are 1.

    That training on the distance itself beats squared errors: Shenoy et al., "Differentiable Earth Mover's Distance for
    Data Compression at the High-Luminosity LHC", 2023; they learn it by a network, here it is Sinkhorn's.
    """
    cost = torch.as_tensor(distances(), dtype=torch.float32)
    kernel = torch.exp(-cost / _BLUR)
    left, right = (_without_zeros(each) for each in (wanted, made))
    columns = torch.ones_like(right)
    for _ in range(_ROUNDS):
        rows = left / (columns @ kernel)
        columns = right / (rows @ kernel)
    return (rows * (columns @ (kernel * cost))).sum(1).mean()


def movers_distance(wanted: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Energy mover's distance [N] of cells [N, 48], each divided by its sum: exact, in sides of a cell.

    A module of which nothing is left counts as one spread evenly. Solved as a linear program by POT (Flamary et al.,
    2021); Sinkhorn's approximation was off by up to 0.19 of a side where few cells are left.
    """
    import ot

    cost = distances()
    filled = np.where(made.sum(1, keepdims=True) > 0, made, 1.0)
    pairs = zip(wanted.astype(np.float64), filled.astype(np.float64), strict=True)
    return np.array([ot.emd2(one / one.sum(), other / other.sum(), cost) for one, other in pairs])


def _without_zeros(cells: Tensor) -> Tensor:
    filled = cells.clamp_min(1e-6)
    return filled / filled.sum(1, keepdim=True)


def _weighted(wanted: Tensor, made: Tensor) -> Tensor:
    return (wanted - made) ** 2 * torch.maximum(wanted, made)
