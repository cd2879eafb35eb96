"""A scatter plot as SVG text: one colour a series, a logarithmic axis below and a linear one beside."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass

_LEFT, _TOP, _WIDTH, _HEIGHT, _RIGHT, _BOTTOM = 56, 76, 560, 300, 24, 44
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999")
"""Okabe and Ito's, which people with any colour vision tell apart."""
_STEPS, _MOST_LINES = (1, 2, 5, 10, 20, 50, 100), 15
"""How far apart the lines across may be, and how many there may be."""
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.minor { fill: #59636e; font-size: 11px; }
.grid { stroke: #d1d9e0; }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc; } .minor { fill: #9198a1; } .grid { stroke: #3d444d; } }"""


@dataclass(frozen=True)
class Points:
    """One series: pairs of a positive number along the logarithmic axis and a number along the linear one."""

    pairs: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Frame:
    left: float
    right: float
    low: float
    high: float

    def across(self, number: float) -> float:
        share = (math.log(number) - math.log(self.left)) / (math.log(self.right) - math.log(self.left))
        return _LEFT + _WIDTH * share

    def down(self, number: float) -> float:
        return _TOP + _HEIGHT * (1 - (number - self.low) / (self.high - self.low))


def scatter_plot(title: str, series: Mapping[str, Points]) -> str:
    """The plot.

    Args:
        title: what it shows.
        series: by name, in the order of the legend.
    """
    pairs = [pair for points in series.values() for pair in points.pairs]
    frame = _Frame(
        *(min(x for x, _ in pairs) / 1.2, max(x for x, _ in pairs) * 1.2),
        *(math.floor(min(y for _, y in pairs)), math.ceil(max(y for _, y in pairs))),
    )
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}\n</style>",
        f'<text x="8" y="18" font-weight="600">{html.escape(title)}</text>',
        *_axes(frame),
    ]
    place, row = 14.0, 40
    for colour, (name, points) in zip(_COLOURS, series.items(), strict=False):
        taken = 26 + 6.0 * len(name)
        if place + taken > width:
            place, row = 14.0, row + 18
        parts.append(f'<circle cx="{place:.0f}" cy="{row}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{place + 9:.0f}" y="{row + 4}" class="minor">{html.escape(name)}</text>')
        place += taken
        ordered = sorted(points.pairs)
        line = " ".join(f"{frame.across(x):.1f},{frame.down(y):.1f}" for x, y in ordered)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts += [
            f'<circle cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}" r="4" fill="{colour}"/>' for x, y in ordered
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(frame: _Frame) -> list[str]:
    parts = []
    bottom, end = _TOP + _HEIGHT, _LEFT + _WIDTH
    for number in (step * 10**power for power in range(8) for step in (1, 2, 5)):
        if frame.left <= number <= frame.right:
            x = frame.across(number)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
            parts.append(f'<text class="minor" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number:,}</text>')
    apart = next(step for step in _STEPS if frame.high - frame.low <= _MOST_LINES * step)
    for number in range(math.ceil(frame.low / apart) * apart, int(frame.high) + 1, apart):
        y = frame.down(number)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="minor" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number}</text>')
    return parts
