"""What a fit starts from: the classes of work, and how their rates depend on the datasheet by physics alone.

Rates of arithmetic fall with the peak, those of bytes with the bandwidth, those of calls with the clock or with
nothing. The rates to start from are round numbers for a slow core, in proportion to one another: what instructions of
each class take, roughly. The latencies then decide, but a class that one network has stays near its start when that
network is the unseen one: transcendental functions, comparisons of boxes, crossings between the processors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from latency_model import Matrix, Population
from ncnn_graphics import GraphicsCost
from ncnn_networks import BOX_PAIRS, GROUP_CALLS

from edgec.measure.prediction_work import Cost

_SHARED, _OWN = 1.0, 0.5
_ELSEWHERE = 0.5
"""Covariance of logarithms of rates before any fit: of all rates of a device, of each by itself; and the share of the
first that rates of its two processors have in common."""
_DENSE_START = 100.0


@dataclass(frozen=True)
class Form:
    """The classes of a fit.

    Attributes:
        classes: names of the columns of `ncnn_networks.csv`.
        start: how the logarithms of the rates should depend on the datasheet, and vary between devices.
        scale: of the noise of an fp32 network, and of an int8 network.
    """

    classes: tuple[str, ...]
    start: Population
    scale: tuple[float, float]


PROCESSOR_NUMBERS = ("macs_per_cycle", "clock_ghz", "threads", "bandwidth_gbps", "half_arithmetic")
GRAPHICS_NUMBERS = ("gmacs", "bandwidth_gbps")
_OF_ARITHMETIC = (-1.0, -1.0, -0.8, 0.0, -0.5)
_OF_BYTES = (0.0, -0.7, -0.4, 0.0, 0.0)
_OF_CALLS = (0.0, -1.0, 0.0, 0.0, 0.0)
_PROCESSOR_START: dict[str, float] = {
    Cost.DENSE: _DENSE_START,
    Cost.DENSE_3X3: 33,
    Cost.POINTWISE: 100,
    Cost.DEPTHWISE: 200,
    Cost.INTEGER: 100,
    Cost.INTEGER_3X3: 33,
    Cost.INTEGER_DEPTHWISE: 200,
    Cost.SHALLOW: 33,
    Cost.STREAMED: 100,
    Cost.TRAFFIC: 100,
    Cost.FAR: 50,
    Cost.MOVED: 167,
    Cost.TRANSCENDENTAL: 2500,
    Cost.KERNEL: 7,
    Cost.LIGHT_KERNEL: 3,
    GROUP_CALLS: 3,
    BOX_PAIRS: 625,
}
_GRAPHICS_START: dict[str, float] = {
    GraphicsCost.DENSE: 4000,
    GraphicsCost.DENSE_3X3: 1500,
    GraphicsCost.POINTWISE: 4000,
    GraphicsCost.DEPTHWISE: 8000,
    GraphicsCost.STREAMED: 2000,
    GraphicsCost.TRAFFIC: 1000,
    GraphicsCost.KERNEL: 40,
    GraphicsCost.LIGHT_KERNEL: 25,
    GraphicsCost.CHAIN: 100,
    GraphicsCost.CROSSING: 1000,
    GraphicsCost.INTEGER: 100,
    GraphicsCost.INTEGER_3X3: 50,
    GraphicsCost.INTEGER_DEPTHWISE: 300,
    GraphicsCost.PROCESSOR_STREAMED: 150,
    GraphicsCost.PROCESSOR_TRAFFIC: 150,
    GraphicsCost.PROCESSOR_KERNEL: 10,
    BOX_PAIRS: 3500,
}
"""Microseconds of a core of one multiply-accumulate a cycle at 1 GHz, and of a graphics processor of 1e9 a second and
1e9 bytes a second: in proportion, the level is the latencies'."""


def processors() -> Form:
    """The form for processors: the classes of the datasheets, and what ncnn does beside them."""
    columns = [(np.log(start), *_processor_slopes(name)) for name, start in _PROCESSOR_START.items()]
    start = Population(np.array(columns).T, _covariance(_PROCESSOR_START))
    return Form(_names(_PROCESSOR_START), start, (0.1, 0.12))


def graphics() -> Form:
    """The form for graphics processors; int8 networks run on the processor beside it."""
    columns = [(np.log(start), *_graphics_slopes(name)) for name, start in _GRAPHICS_START.items()]
    start = Population(np.array(columns).T, _covariance(_GRAPHICS_START))
    return Form(_names(_GRAPHICS_START), start, (0.2, 0.25))


def _names(starts: dict[str, float]) -> tuple[str, ...]:
    return tuple(name.value if isinstance(name, StrEnum) else name for name in starts)


def _processor_slopes(name: str) -> tuple[float, ...]:
    if name == BOX_PAIRS:
        return _OF_CALLS
    if "mmac" in name or "million" in name:
        return _OF_ARITHMETIC
    return _OF_BYTES if name.endswith("mb") else _OF_CALLS


def _graphics_slopes(name: str) -> tuple[float, float]:
    if not name.startswith("graphics"):
        return 0.0, 0.0
    if name.endswith("mmac"):
        return -0.8, 0.0
    return (0.0, -0.8) if name.endswith("mb") else (0.0, 0.0)


def _covariance(starts: dict[str, float]) -> Matrix:
    elsewhere = np.array([name.startswith("processor") for name in starts])
    shared = np.where(elsewhere[:, None] == elsewhere, _SHARED, _SHARED * _ELSEWHERE)
    return np.asarray(shared + _OWN * np.eye(len(starts)))
