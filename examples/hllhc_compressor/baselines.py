"""What the chip does without a neural network, at the same number of bits."""

from __future__ import annotations

import numpy as np
from geometry import CELLS, REMAP_8X8, SIDE

_ADDRESS_BITS = 6
_ENERGY_BITS = 7
SUPER_CELLS = 12


def largest_cells(cells: np.ndarray, bits: int) -> np.ndarray:
    """Threshold: the largest cells as they fit, each with an address of 6 bits and an energy of 7; the others read 0.

    Args:
        cells: fractions [N, 48].
        bits: of a module and crossing.
    """
    kept = bits // (_ADDRESS_BITS + _ENERGY_BITS)
    order = np.argsort(-cells, axis=1)
    made = np.zeros_like(cells)
    rows = np.arange(len(cells))[:, None]
    made[rows, order[:, :kept]] = rounded(cells[rows, order[:, :kept]], _ENERGY_BITS)
    return made


def super_cells(cells: np.ndarray, bits: int) -> np.ndarray:
    """Sums of 2 x 2 cells, spread evenly over the four again.

    Args:
        cells: fractions [N, 48].
        bits: of a module and crossing, shared by the 12 sums.
    """
    group = (REMAP_8X8 // SIDE) // 2 * (SIDE // 2) + (REMAP_8X8 % SIDE) // 2
    members = np.equal.outer(np.unique(group), group).astype(np.float32)
    if members.shape != (SUPER_CELLS, CELLS):
        raise ValueError(f"{members.shape} is not the shape of 12 super-cells")
    sums = rounded(cells @ members.T, bits // SUPER_CELLS)
    return np.asarray(sums @ members / 4, np.float32)


def rounded(fractions: np.ndarray, bits: int) -> np.ndarray:
    """Fractions as whole steps of so many bits."""
    steps = 2**bits - 1
    return np.asarray(np.rint(np.clip(fractions, 0, 1) * steps) / steps, np.float32)
