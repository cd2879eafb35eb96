"""The work of a kernel in the classes whose rates a device's latency model knows.

A kernel's time is the sum over the classes of amount times rate. The classes are those in which engines differ from
one another and from layer to layer: dense convolutions, those of 3x3 that are filtered (Winograd), products by 1x1,
depthwise convolutions, integer arithmetic, weights that are read for one use, activations, those beyond the caches,
data that is only moved, transcendental functions, contractions over few channels, and the calls themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from edgec.backends.plan import KernelKind, PlannedLayer

_INTEGERS = frozenset({"int8", "uint8"})
_FEW_CHANNELS = 24
_MILLION = 1e6
_BYTES_IN_CACHES = 1e6
"""Activations of a kernel, in and out, or its weights, that the caches of usual cores hold from kernel to kernel."""
_PASSES_OF_FILTERING = 4
"""A filtered convolution (Winograd) also writes and reads its tiles, 36 numbers for 16, around the products."""
_FUNCTIONS_OF = {"LRN": 3}
"""Transcendental functions of an element: a power is a logarithm and an exponential, beside a sum over neighbours."""


class Cost(StrEnum):
    """A class of work; the unit stands in the name of its rate, `LatencyRates` of the datasheet."""

    DENSE = "dense_us_per_mmac"
    DENSE_3X3 = "dense_3x3_us_per_mmac"
    POINTWISE = "pointwise_us_per_mmac"
    DEPTHWISE = "depthwise_us_per_mmac"
    INTEGER = "integer_us_per_mmac"
    INTEGER_3X3 = "integer_3x3_us_per_mmac"
    INTEGER_DEPTHWISE = "integer_depthwise_us_per_mmac"
    SHALLOW = "shallow_us_per_mmac"
    STREAMED = "streamed_us_per_mb"
    TRAFFIC = "traffic_us_per_mb"
    FAR = "far_us_per_mb"
    MOVED = "moved_us_per_mb"
    TRANSCENDENTAL = "transcendental_us_per_million"
    KERNEL = "kernel_us"
    LIGHT_KERNEL = "light_kernel_us"


_CONTRACTIONS = {
    KernelKind.DENSE: Cost.DENSE,
    KernelKind.DENSE_3X3: Cost.DENSE_3X3,
    KernelKind.POINTWISE: Cost.POINTWISE,
    KernelKind.DEPTHWISE: Cost.DEPTHWISE,
}
_INTEGER_CONTRACTIONS = {
    KernelKind.DENSE_3X3: Cost.INTEGER_3X3,
    KernelKind.POINTWISE: Cost.INTEGER,
    KernelKind.DEPTHWISE: Cost.INTEGER_DEPTHWISE,
}
"""By kind; others count as products of matrices."""


def work_of(layer: PlannedLayer) -> Mapping[Cost, float]:
    """Millions of multiply-accumulates or elements, megabytes (1e6 bytes) and calls of a kernel by class.

    Bytes beyond the caches count twice: as what they are, and as `FAR`, which is what the distance adds.
    """
    if layer.kind == KernelKind.VECTOR:
        return {**_streams(layer), Cost.KERNEL: layer.calls}
    work = _traffic(layer)
    work[Cost.KERNEL if layer.macs else Cost.LIGHT_KERNEL] = layer.calls
    if layer.macs:
        work |= _arithmetic(layer)
    if layer.kind == KernelKind.TRANSCENDENTAL:
        work[Cost.TRANSCENDENTAL] = layer.elements * _FUNCTIONS_OF.get(layer.op, 1) / _MILLION
    return work


def _streams(layer: PlannedLayer) -> dict[Cost, float]:
    """Weights that are read for one use, in a loop again at each call: from the caches where they fit."""
    total, once = layer.weight_bytes / _MILLION, layer.weight_bytes / layer.calls
    if layer.calls == 1 or once > _BYTES_IN_CACHES:
        return {Cost.STREAMED: total}
    return {Cost.STREAMED: once / _MILLION, Cost.TRAFFIC: total - once / _MILLION}


def _traffic(layer: PlannedLayer) -> dict[Cost, float]:
    touched = layer.bytes - layer.weight_bytes
    passes = _PASSES_OF_FILTERING if layer.kind == KernelKind.DENSE_3X3 else 1
    megabytes = touched * passes / _MILLION
    work = {Cost.MOVED if layer.kind == KernelKind.MOVEMENT else Cost.TRAFFIC: megabytes}
    if touched > _BYTES_IN_CACHES * layer.calls:
        work[Cost.FAR] = megabytes
    return work


def _arithmetic(layer: PlannedLayer) -> dict[Cost, float]:
    macs = layer.macs / _MILLION
    contractions = _INTEGER_CONTRACTIONS if layer.precision in _INTEGERS else _CONTRACTIONS
    work = {contractions.get(layer.kind, contractions[KernelKind.POINTWISE]): macs}
    if layer.kind != KernelKind.DEPTHWISE and 0 < layer.depth < _FEW_CHANNELS:
        work[Cost.SHALLOW] = macs
    return work
