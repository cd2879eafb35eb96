"""The tables of bits against energy mover's distance, over all seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from comparison import CLASSES, CODE_BITS, CODES, Row

WAYS = ("autoencoder", "super-cells", "super-cells, network", "largest cells", "threshold")


def read_rows(folders: Sequence[Path]) -> list[list[Row]]:
    """The rows of each seed."""
    return [[Row(**row) for row in json.loads((folder / "results.json").read_text())] for folder in folders]


def tables(seeds: Sequence[Sequence[Row]]) -> str:
    """One table in Markdown for each class of modules; the smallest distance of a row is bold."""
    parts = []
    for name in CLASSES:
        lines = [f"| {name}: bits | " + " | ".join(WAYS) + " |", "|---" * (1 + len(WAYS)) + "|"]
        lines += [_line(seeds, name, bits * CODES) for bits in CODE_BITS]
        parts.append("\n".join(lines))
    floats = [row.distances["all modules"] for rows in seeds for row in rows if row.way == "autoencoder in float"]
    parts.append(f"In float, all modules: {_text(floats)}.")
    return "\n\n".join(parts) + "\n"


def _line(seeds: Sequence[Sequence[Row]], name: str, bits: int) -> str:
    chosen = [[row for rows in seeds for row in rows if (row.bits, row.way) == (bits, way)] for way in WAYS]
    values = [[row.distances[name] for row in rows] for rows in chosen]
    best = int(np.argmin([np.mean(value) for value in values]))
    cells = [f"**{_text(value)}**" if place == best else _text(value) for place, value in enumerate(values)]
    taken = np.mean([row.mean_bits[name] for row in chosen[-1]])
    return f"| {bits} | " + " | ".join(cells) + f" ({taken:.0f} bits) |"


def _text(values: Sequence[float]) -> str:
    """Mean, and half the reach of the seeds."""
    reach = (max(values) - min(values)) / 2
    return f"{np.mean(values):.3f} ± {reach:.3f}" if len(values) > 1 else f"{values[0]:.3f}"
