"""What the chip does without a neural network, at the same number of bits.

Energies are fractions of the module's sum, which is sent besides by every way, as it is for the autoencoder.
"""

from __future__ import annotations

import numpy as np
from geometry import CELLS, super_cells

_ADDRESS_BITS = 6
_ENERGY_BITS = 7
SUPER_CELLS = 12


def bits_of(kept: np.ndarray) -> np.ndarray:
    """Bits for so many cells: 7 for each energy, and the cheaper of 6 for each address and a map of 48."""
    return kept * _ENERGY_BITS + np.minimum(kept * _ADDRESS_BITS, CELLS)


def largest_cells(cells: np.ndarray, bits: int) -> np.ndarray:
    """As many of the largest cells as fit; the others read 0.

    Args:
        cells: fractions [N, 48].
        bits: of a module and crossing.
    """
    numbers = np.arange(CELLS + 1)
    kept = int(numbers[bits_of(numbers) <= bits].max())
    order = np.argsort(-cells, axis=1)[:, :kept]
    made = np.zeros_like(cells)
    rows = np.arange(len(cells))[:, None]
    made[rows, order] = rounded(cells[rows, order], _ENERGY_BITS)
    return made


def threshold_for(energies: np.ndarray, bits: int) -> float:
    """The lowest threshold, in the unit of the energies, whose modules take so many bits on average.

    Args:
        energies: of modules that are not those of the comparison, [N, 48].
        bits: of a module and crossing, on average.
    """
    low, high = 0.0, float(energies.max())
    for _ in range(40):
        middle = (low + high) / 2
        if bits_of((energies > middle).sum(1)).mean() > bits:
            low = middle
        else:
            high = middle
    return high


def above_threshold(energies: np.ndarray, threshold: float) -> np.ndarray:
    """Fractions [N, 48] of the cells above a threshold; a busy module takes more bits than a quiet one."""
    shares = rounded(energies / energies.sum(1, keepdims=True), _ENERGY_BITS)
    return np.asarray(np.where(energies > threshold, shares, 0), np.float32)


def super_cell_sums(cells: np.ndarray, bits: int) -> np.ndarray:
    """Sums of 2 x 2 cells [N, 12], which share the bits.

    Args:
        cells: fractions [N, 48].
        bits: of a module and crossing.
    """
    return rounded(cells @ super_cells().T, bits // SUPER_CELLS)


def spread(sums: np.ndarray) -> np.ndarray:
    """Cells [N, 48] of sums [N, 12], each shared evenly by its four cells."""
    return np.asarray(sums @ super_cells() / 4, np.float32)


def rounded(fractions: np.ndarray, bits: int) -> np.ndarray:
    """Fractions as whole steps of so many bits."""
    steps = 2**bits - 1
    return np.asarray(np.rint(np.clip(fractions, 0, 1) * steps) / steps, np.float32)
