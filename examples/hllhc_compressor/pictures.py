"""Modules as SVG: each cell a rhombus, darker with its share of the energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from geometry import corners

_SCALE, _WIDTH = 16.0, 160.0


def write_pictures(rows: Mapping[str, np.ndarray], columns: Sequence[int], path: Path) -> None:
    """One row a way to compress, one column a module.

    Args:
        rows: fractions [N, 48] by title.
        columns: which modules.
        path: of the SVG file.
    """
    width, height = _WIDTH * len(columns) + 120, _WIDTH * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" font-family="sans-serif">'
    ]
    for line, (title, cells) in enumerate(rows.items()):
        parts.append(f'<text x="4" y="{_WIDTH * (line + 0.5):.0f}" font-size="13">{title}</text>')
        for place, module in enumerate(columns):
            peak = float(next(iter(rows.values()))[module].max())
            centre = (120 + _WIDTH * (place + 0.5), _WIDTH * (line + 0.5))
            parts += _module(cells[module] / peak, centre)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _module(shares: np.ndarray, centre: tuple[float, float]) -> list[str]:
    made = []
    for share, outline in zip(np.clip(shares, 0, 1), corners(), strict=True):
        points = " ".join(f"{centre[0] + _SCALE * x:.1f},{centre[1] - _SCALE * y:.1f}" for x, y in outline)
        colour = f"hsl(215, 80%, {100 - 70 * float(share) ** 0.5:.0f}%)"
        made.append(f'<polygon points="{points}" fill="{colour}" stroke="#889" stroke-width="0.5"/>')
    return made
