"""The work of a kernel in the classes whose rates a device's latency model knows.

A kernel's time is the sum over the classes of amount times rate. The classes are those in which engines differ from
one another and from layer to layer: dense convolutions, those of 3x3 that are filtered (Winograd), products by 1x1,
depthwise convolutions, integer arithmetic, weights that are read for one use, activations, data that is only moved,
transcendental functions, contractions over few channels, and the calls themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from edgec.backends.plan import KernelKind, PlannedLayer

_INTEGERS = frozenset({"int8", "uint8"})
_FEW_CHANNELS = 24
_MILLION = 1e6


class Cost(StrEnum):
    """A class of work; the unit stands in the name of its rate, `LatencyRates` of the datasheet."""

    DENSE = "dense_us_per_mmac"
    DENSE_3X3 = "dense_3x3_us_per_mmac"
    POINTWISE = "pointwise_us_per_mmac"
    DEPTHWISE = "depthwise_us_per_mmac"
    INTEGER = "integer_us_per_mmac"
    INTEGER_3X3 = "integer_3x3_us_per_mmac"
    SHALLOW = "shallow_us_per_mmac"
    STREAMED = "streamed_us_per_mb"
    TRAFFIC = "traffic_us_per_mb"
    MOVED = "moved_us_per_mb"
    TRANSCENDENTAL = "transcendental_us_per_million"
    KERNEL = "kernel_us"
    LIGHT_KERNEL = "light_kernel_us"


_CONTRACTIONS = {
    KernelKind.DENSE: Cost.DENSE,
    KernelKind.DENSE_3X3: Cost.DENSE_3X3,
    KernelKind.POINTWISE: Cost.POINTWISE,
    KernelKind.DEPTHWISE: Cost.DEPTHWISE,
    KernelKind.OTHER: Cost.POINTWISE,
    KernelKind.MOVEMENT: Cost.POINTWISE,
    KernelKind.TRANSCENDENTAL: Cost.POINTWISE,
}


def work_of(layer: PlannedLayer) -> Mapping[Cost, float]:
    """Millions of multiply-accumulates or elements, megabytes (1e6 bytes) and calls of a kernel by class."""
    if layer.kind == KernelKind.VECTOR:
        return {Cost.STREAMED: layer.weight_bytes / _MILLION, Cost.KERNEL: layer.calls}
    activations = Cost.MOVED if layer.kind == KernelKind.MOVEMENT else Cost.TRAFFIC
    work = {activations: (layer.bytes - layer.weight_bytes) / _MILLION}
    work[Cost.KERNEL if layer.macs else Cost.LIGHT_KERNEL] = layer.calls
    if layer.macs:
        work |= _arithmetic(layer)
    if layer.kind == KernelKind.TRANSCENDENTAL:
        work[Cost.TRANSCENDENTAL] = layer.elements / _MILLION
    return work


def _arithmetic(layer: PlannedLayer) -> dict[Cost, float]:
    macs = layer.macs / _MILLION
    depthwise = layer.kind == KernelKind.DEPTHWISE
    contraction = _CONTRACTIONS[layer.kind]
    if layer.precision in _INTEGERS and not depthwise:
        contraction = Cost.INTEGER_3X3 if layer.kind == KernelKind.DENSE_3X3 else Cost.INTEGER
    work = {contraction: macs}
    if not depthwise and 0 < layer.depth < _FEW_CHANNELS:
        work[Cost.SHALLOW] = macs
    return work
