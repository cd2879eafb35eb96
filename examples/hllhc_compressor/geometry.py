"""The 48 trigger cells of a module of the CMS high-granularity calorimeter, and their place on a picture of 8 x 8.

The module is a hexagon of three rhombi of 4 x 4 cells. The published encoder sees them as three quadrants of a picture,
the fourth stays empty: `remap_8x8` of github.com/fastml-science/sensor-data-compression.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

CELLS = 48
SIDE = 8
_IN_RHOMBUS = np.arange(16)
_ROW, _PLACE = _IN_RHOMBUS // 4, _IN_RHOMBUS % 4
REMAP_8X8 = np.concatenate([4 + 8 * _PLACE + _ROW, 24 - 8 * _ROW + _PLACE, 59 - 8 * _PLACE - _ROW])
"""Pixel of each cell."""

_DIRECTIONS = np.array([[np.cos(angle), np.sin(angle)] for angle in np.deg2rad([90.0, 210.0, 330.0])])
"""The edges between the three rhombi, from the centre outwards: two right angles on the picture are 120 degrees."""


def corners() -> np.ndarray:
    """The corners of each cell, float64 [48, 4, 2], in sides of a cell; the origin is the middle of the module."""
    rows, columns = REMAP_8X8 // SIDE, REMAP_8X8 % SIDE
    return np.stack([_place(rows + down, columns + right) for down, right in ((0, 0), (0, 1), (1, 1), (1, 0))], axis=1)


def centres() -> np.ndarray:
    """The middle of each cell, float64 [48, 2]."""
    return corners().mean(axis=1)


def distances() -> np.ndarray:
    """Distances of the cells' middles, float64 [48, 48]."""
    middles = centres()
    return np.linalg.norm(middles[:, None] - middles[None], axis=-1)


def to_pictures(cells: np.ndarray) -> np.ndarray:
    """Cells [N, 48] as pictures [N, 1, 8, 8] of the same type."""
    pictures = np.zeros((len(cells), SIDE * SIDE), cells.dtype)
    pictures[:, REMAP_8X8] = cells
    return pictures.reshape(-1, 1, SIDE, SIDE)


def to_cells(pictures: np.ndarray) -> np.ndarray:
    """Pictures [N, 1, 8, 8] as cells [N, 48]."""
    return pictures.reshape(len(pictures), -1)[:, REMAP_8X8]


def super_cells() -> np.ndarray:
    """Which cells each of the 12 super-cells sums, 2 x 2 that do not overlap: float32 [12, 48] of 0 and 1."""
    block = (REMAP_8X8 // SIDE) // 2 * (SIDE // 2) + (REMAP_8X8 % SIDE) // 2
    return np.equal.outer(np.unique(block), block).astype(np.float32)


def windows() -> np.ndarray:
    """All 36 squares of 2 x 2 neighbours, also across the edges of the rhombi: float32 [36, 48] of 0 and 1."""
    cell_of = {int(pixel): cell for cell, pixel in enumerate(REMAP_8X8)}
    squares = [
        [SIDE * (row + down) + column + right for down in (0, 1) for right in (0, 1)]
        for row in range(SIDE - 1)
        for column in range(SIDE - 1)
    ]
    # The edge that the empty quadrant hides: what lies above it touches what lies left of it.
    edge = [(SIDE * (SIDE // 2 - 1) + place, SIDE * place + SIDE // 2 - 1) for place in range(SIDE // 2, SIDE)]
    squares += [[*one, *other] for one, other in pairwise(edge)]
    whole = [[cell_of[pixel] for pixel in square] for square in squares if all(pixel in cell_of for pixel in square)]
    made = np.zeros((len(whole), CELLS), np.float32)
    made[np.arange(len(whole))[:, None], whole] = 1
    return made


def _place(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Corners of the picture's grid in the plane: up, left, and what is both right and down are the three edges."""
    up, left, third = _DIRECTIONS
    quadrant_rows, quadrant_columns = REMAP_8X8 // SIDE, REMAP_8X8 % SIDE
    above, beside = SIDE // 2 - rows, SIDE // 2 - columns
    first = np.where((quadrant_rows < SIDE // 2)[:, None], above[:, None] * up, -above[:, None] * third)
    second = np.where((quadrant_columns < SIDE // 2)[:, None], beside[:, None] * left, -beside[:, None] * third)
    return np.asarray(first + second)
