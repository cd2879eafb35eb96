"""The work of our own kernels in the classes whose rates are measured on a machine that calibrates itself.

The classes of `prediction_work.py` hold for any engine and say nothing of how a kernel computes. Here that is known:
which convolutions are filtered (Winograd), which weights a kernel reads, what a fused activation computes, and whether
the artefact's weights stay in the last cache of the core from one inference to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from edgec.backends.plan import KernelKind, PlannedLayer

if TYPE_CHECKING:
    from edgec.core.target import Core

_INTEGERS = frozenset({"int8", "uint8"})
_FEW_CHANNELS = 24
_MILLION = 1e6
_KIBIBYTE = 1024
_BITS_OF_LANE = 32


class OwnCost(StrEnum):
    """A class of work of our kernels, named with the unit of its rate."""

    DIRECT = "direct_us_per_mmac"
    FILTERED = "filtered_us_per_mmac"
    POINTWISE = "pointwise_us_per_mmac"
    DEPTHWISE = "depthwise_us_per_mmac"
    INTEGER = "integer_us_per_mmac"
    SHALLOW = "shallow_us_per_mmac"
    WEIGHTS = "weights_us_per_mb"
    STREAMED = "streamed_us_per_mb"
    CACHED = "cached_us_per_mb"
    TRAFFIC = "traffic_us_per_mb"
    CACHED_TRAFFIC = "cached_traffic_us_per_mb"
    MOVED = "moved_us_per_mb"
    TRANSCENDENTAL = "transcendental_us_per_million"
    KERNEL = "kernel_us"
    LIGHT_KERNEL = "light_kernel_us"


def own_work(layers: Sequence[PlannedLayer], core: Core) -> tuple[Mapping[OwnCost, float], ...]:
    """Millions of multiply-accumulates or elements, megabytes (1e6 bytes) and calls of each kernel by class.

    Args:
        layers: all kernel calls of an artefact.
        core: the core that runs them; its second cache, or the first where it has no second, holds what is read again.
    """
    cache = (core.l2_kib or core.l1_data_kib).value * _KIBIBYTE
    constants = sum(layer.share * layer.weight_bytes / layer.calls for layer in layers)
    # No cache drops what is read in turns at once when it is full: replacement is no exact order of last use.
    missing = min(1.0, max(0.0, constants / cache - 1.0))
    lanes = max(1.0, core.vector_bits.value / _BITS_OF_LANE)
    return tuple(_work(layer, missing, cache, lanes) for layer in layers)


def _work(layer: PlannedLayer, missing: float, cache_bytes: float, lanes: float) -> Mapping[OwnCost, float]:
    """Work of a kernel in an artefact of whose weights a share is `missing` from the cache at each inference."""
    weights, moved = layer.weight_bytes / _MILLION, (layer.bytes - layer.weight_bytes) / _MILLION
    work = {OwnCost.KERNEL if layer.macs else OwnCost.LIGHT_KERNEL: float(layer.calls)}
    if layer.transcendentals:
        work[OwnCost.TRANSCENDENTAL] = layer.transcendentals / _MILLION
    if layer.kind == KernelKind.VECTOR:
        streamed = weights * missing / layer.calls
        return work | {OwnCost.STREAMED: streamed, OwnCost.CACHED: weights - streamed}
    held = layer.bytes / layer.calls < cache_bytes / 2
    traffic = OwnCost.MOVED if layer.kind == KernelKind.MOVEMENT else _TRAFFIC[held]
    work[traffic] = moved
    if layer.macs:
        work |= {**_arithmetic(layer, lanes), OwnCost.WEIGHTS: weights * missing / layer.calls}
    return work


_TRAFFIC = {True: OwnCost.CACHED_TRAFFIC, False: OwnCost.TRAFFIC}


def _arithmetic(layer: PlannedLayer, lanes: float) -> dict[OwnCost, float]:
    """Multiply-accumulates, those by the empty lanes of a vector too."""
    macs = layer.macs / _MILLION * max(1.0, layer.vectors * lanes / layer.channels)
    if layer.kind == KernelKind.DEPTHWISE:
        return {OwnCost.DEPTHWISE: macs}
    contraction = OwnCost.POINTWISE
    if layer.precision in _INTEGERS:
        contraction = OwnCost.INTEGER
    elif layer.filtered:
        contraction = OwnCost.FILTERED
    elif layer.kind in (KernelKind.DENSE, KernelKind.DENSE_3X3):
        contraction = OwnCost.DIRECT
    work = {contraction: macs}
    if 0 < layer.depth < _FEW_CHANNELS and layer.kind != KernelKind.POINTWISE:
        work[OwnCost.SHALLOW] = macs
    return work
