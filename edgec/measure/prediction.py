"""Latency and energy of an artefact on a device that is not here, predicted from the device's datasheet.

A kernel takes t = MACs / (threads x clock x MACs a cycle x efficiency) + bytes / bandwidth + overhead. Efficiency,
bandwidth and overhead are fitted to latencies that were published for the device (`benchmarks/fit_latency.py`); the
terms add up instead of overlapping as in a roofline, which fits in-order and small out-of-order cores better. The band
is what the fit missed networks by that it had not seen, and a factor for the difference between engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgec.core.metric import Metric, Mode, Unavailable, Value

if TYPE_CHECKING:
    from edgec.backends.plan import PlannedLayer
    from edgec.core.target import Prediction, Target

_INTEGER_OPERATORS = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
_BEST_GAIN_OF_INTEGERS = 4.0


@dataclass(frozen=True)
class PredictedCost:
    """The prediction for an artefact.

    Attributes:
        latency_ms: of one inference.
        energy_mj: of one inference, the whole board.
        layers_ms: latency of each planned layer in order; they add up to `latency_ms`.
    """

    latency_ms: Metric
    energy_mj: Metric
    layers_ms: tuple[Metric, ...]


def predict(layers: Sequence[PlannedLayer], target: Target, *, threads: int) -> PredictedCost:
    """Predict latency and energy of one inference.

    Args:
        layers: kernel calls of the artefact.
        target: the device.
        threads: threads that the kernels are split over; no more than the device's cores count.
    """
    if target.prediction is None:
        reason = Unavailable(
            unavailable=f"no latencies are published for {target.name} that a prediction could be fitted to"
        )
        return PredictedCost(reason, reason, tuple(reason for _ in layers))
    predicted = tuple(_layer(layer, target, target.prediction, threads) for layer in layers)
    latency = Value(
        value=sum(layer.value for layer in predicted),
        low=sum(layer.low for layer in predicted),
        high=sum(layer.high for layer in predicted),
        mode=Mode.PREDICTED,
        source=_source(target, threads),
    )
    return PredictedCost(latency, _energy(latency, target), predicted)


def _layer(layer: PlannedLayer, target: Target, fitted: Prediction, threads: int) -> Value:
    core = target.core
    used = min(threads, int(core.cores.value))
    macs_per_ms = used * core.clock_mhz.value * 1e3 * core.fma_per_cycle.value * fitted.compute_efficiency.value
    bytes_per_ms = fitted.effective_bandwidth_gbps.value * 1e6
    overhead_ms = layer.calls * fitted.kernel_overhead_us.value / 1e3
    milliseconds = layer.macs / macs_per_ms + layer.bytes / bytes_per_ms + overhead_ms
    gain = _BEST_GAIN_OF_INTEGERS if layer.op in _INTEGER_OPERATORS else 1.0
    return Value(
        value=milliseconds,
        low=milliseconds * fitted.band_low.value / gain,
        high=milliseconds * fitted.band_high.value,
        mode=Mode.PREDICTED,
        source=_source(target, threads),
    )


def _source(target: Target, threads: int) -> str:
    used = "1 thread" if threads == 1 else f"{threads} threads"
    return f"latency model fitted to published latencies, targets/{target.name}.toml, {used}"


def _energy(latency: Value, target: Target) -> Metric:
    """Latency times the board's power: between idle and busy where fewer cores work than were busy."""
    power = target.power
    if power is None:
        return Unavailable(unavailable=f"the datasheet of {target.name} states no power")
    return Value(
        value=latency.value * power.busy_w.value,
        low=latency.low * power.idle_w.value,
        high=latency.high * power.busy_w.value,
        mode=Mode.PREDICTED,
        source=f"latency x {power.busy_w.value:g} W of the busy board, low end {power.idle_w.value:g} W idle",
    )
