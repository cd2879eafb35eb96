"""Latency of kernels on a graphics processor that is not here, from its datasheet alone.

A kernel takes the time to launch it and the longer of two others (the roofline of Williams, Waterman and Patterson,
Communications of the ACM 52(4), 2009): its products at the rate that its kind reaches of the peak, and its bytes at the
memory's bandwidth. A kernel with few results leaves lanes idle: the peak is scaled by the share that has work.

No kernel was timed on these devices, and datasheets do not say what share of the peak a kernel reaches. The shares are
assumed; the band is as wide as that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.core.target_quantity import Basis

if TYPE_CHECKING:
    from edgec.core.target import Target
    from edgec.core.target_gpu import Gpu

_SHARE_OF_PEAK = 0.4
_SHARE_OF_PEAK_BY_KIND = {KernelKind.DEPTHWISE: 0.15, KernelKind.VECTOR: 0.1}
"""What kernels reach of the peak, assumed."""
_RESULTS_PER_LANE = 4
"""Results that a lane computes side by side, to cover the latency of its instructions."""
_PRODUCTS_OF_DP4A = 4
_INTEGERS = frozenset({"int8", "uint8"})
_KERNELS_VARY_BY = math.log(3.0)
_ASSUMED_NUMBER_VARIES_BY = math.log(1.3)
"""Half the width, as a logarithm, that a number adds which no document states."""
_MICROSECONDS_PER_MILLISECOND = 1e3


def gpu_latencies(layers: Sequence[PlannedLayer], target: Target, gpu: Gpu) -> tuple[list[float], float, str]:
    """Milliseconds of each layer, the factor of the band to either side, and what they rest on."""
    times = [layer.share * _milliseconds(layer, target, gpu) for layer in layers]
    numbers = (gpu.compute_units, gpu.fma_per_cycle, gpu.clock_mhz, gpu.launch_us, target.memory.bandwidth_gbps)
    assumed = sum(number.basis == Basis.ASSUMED for number in numbers)
    factor = math.exp(math.hypot(_KERNELS_VARY_BY, math.sqrt(assumed) * _ASSUMED_NUMBER_VARIES_BY))
    source = (
        f"roofline of targets/{target.name}.toml: peak {_peak(gpu) / 1e9:g} GMAC/s in fp32, "
        f"{target.memory.bandwidth_gbps.value:g} GB/s, {gpu.launch_us.value:g} us a kernel; {assumed} of these "
        "numbers are assumed, and no kernel was timed on the device"
    )
    return times, factor, source


def _peak(gpu: Gpu) -> float:
    """fp32 multiply-accumulates a second."""
    return gpu.compute_units.value * gpu.fma_per_cycle.value * gpu.clock_mhz.value * 1e6


def _speed(layer: PlannedLayer, gpu: Gpu) -> float:
    """How much faster than fp32 a layer's element type is multiplied; kernels compute fp16 in fp32."""
    return _PRODUCTS_OF_DP4A if layer.precision in _INTEGERS and gpu.dot_product == "dp4a" else 1.0


def _milliseconds(layer: PlannedLayer, target: Target, gpu: Gpu) -> float:
    lanes = gpu.compute_units.value * gpu.fma_per_cycle.value
    results = layer.elements / max(layer.calls, 1)
    occupied = min(1.0, max(results, 1) / (lanes * _RESULTS_PER_LANE))
    share = _SHARE_OF_PEAK_BY_KIND.get(layer.kind, _SHARE_OF_PEAK)
    arithmetic = layer.macs / (_peak(gpu) * _speed(layer, gpu) * share * occupied)
    traffic = layer.bytes / (target.memory.bandwidth_gbps.value * 1e9)
    launches = layer.calls * gpu.launch_us.value / _MICROSECONDS_PER_MILLISECOND
    return float(launches + 1e3 * max(arithmetic, traffic))
