"""A dot plot as SVG text: one row a network, one dot an engine, on a logarithmic axis relative to ours."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

_ROW, _LEFT, _PLOT, _TOP, _RIGHT = 26, 240, 520, 66, 24
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999")
"""Okabe and Ito's, which people with any colour vision tell apart."""
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.minor { fill: #59636e; font-size: 11px; }
.grid { stroke: #d1d9e0; }
.ours { stroke: #1f2328; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .minor { fill: #9198a1; } .grid { stroke: #3d444d; } .ours { stroke: #f0f6fc; }
}"""


def dot_plot(title: str, rows: Mapping[str, Mapping[str, float]], engines: list[str]) -> str:
    """The plot.

    Args:
        title: what it shows.
        rows: by network and engine, the engine's time over ours.
        engines: in the order of the legend.
    """
    values = [value for row in rows.values() for value in row.values()] or [1.0]
    low, high = min(0.5, *values), max(2.0, *values)
    width, height = _LEFT + _PLOT + _RIGHT, _TOP + _ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}\n</style>",
        f'<text x="8" y="18" font-weight="600">{html.escape(title)}</text>',
        *_legend(engines),
        *_axis(low, high, height),
    ]
    for number, (network, row) in enumerate(rows.items()):
        middle = _TOP + _ROW * number + _ROW / 2
        parts.append(f'<text x="{_LEFT - 10}" y="{middle + 4:.0f}" text-anchor="end">{html.escape(network)}</text>')
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{middle:.1f}" y2="{middle:.1f}"/>')
        parts += [_dot(engines, engine, _place(value, low, high), middle, value) for engine, value in row.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(engines: list[str]) -> list[str]:
    parts, place = [], 14.0
    for engine in engines:
        parts.append(f'<circle cx="{place:.0f}" cy="36" r="5" fill="{_colour(engines, engine)}"/>')
        parts.append(f'<text x="{place + 9:.0f}" y="40">{html.escape(engine)}</text>')
        place += 30 + 7.2 * len(engine)
    return parts


def _axis(low: float, high: float, height: int) -> list[str]:
    bottom = height - 34
    parts = []
    for tick in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
        if not low <= tick <= high:
            continue
        place = _place(tick, low, high)
        kind = "ours" if tick == 1.0 else "grid"
        label = "ours" if tick == 1.0 else f"{tick:g}×"
        parts.append(f'<line class="{kind}" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP - 8}" y2="{bottom}"/>')
        parts.append(f'<text class="minor" x="{place:.1f}" y="{bottom + 14}" text-anchor="middle">{label}</text>')
    caption = "time over ours; to the right of the line the engine is slower than we are"
    middle = _LEFT + _PLOT / 2
    return [*parts, f'<text class="minor" x="{middle:.0f}" y="{bottom + 29}" text-anchor="middle">{caption}</text>']


def _dot(engines: list[str], engine: str, x: float, y: float, value: float) -> str:
    note = f"<title>{html.escape(engine)}: {value:.2f}×</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{_colour(engines, engine)}" opacity="0.9">{note}</circle>'


def _colour(engines: list[str], engine: str) -> str:
    return _COLOURS[engines.index(engine) % len(_COLOURS)]


def _place(value: float, low: float, high: float) -> float:
    return _LEFT + _PLOT * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
