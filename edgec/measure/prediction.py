"""Latency and energy of an artefact on a device that is not here, predicted from the device's datasheet.

A kernel takes the sum over its classes of work (`prediction_work.py`) of amount times rate. The rates are fitted to
latencies that were published for the device, or follow from its datasheet as those of other devices do
(`benchmarks/fit_latency.py`).

A graphics processor has a model of its own (`prediction_gpu.py`).

For a machine that was calibrated (`calibration.py`) the rates are those measured on it, of our own kernels.

The band is an interval of 90 %. Its width follows from how well the rates are known that the network leans on, from
what the fit missed networks by that it had not seen, and from the difference between engines: the published latencies
are another engine's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.measure.calibration import Calibration, calibration_of
from edgec.measure.prediction_energy import layer_energies
from edgec.measure.prediction_gpu import gpu_latencies
from edgec.measure.prediction_rates import DeviceRates, rates_of
from edgec.measure.prediction_work import Cost, work_of

if TYPE_CHECKING:
    from edgec.backends.plan import PlannedLayer
    from edgec.core.target import Target

_ENGINES_DIFFER_BY = math.log(1.5)
"""Half the width, as a logarithm, that another engine adds: two good ones differ by half as much again on a network."""
_MICROSECONDS_PER_MILLISECOND = 1e3


@dataclass(frozen=True)
class PredictedCost:
    """The prediction for an artefact.

    Attributes:
        latency_ms: of one inference.
        energy_mj: of one inference, the whole board.
        layers_ms: latency of each planned layer in order; they add up to `latency_ms`.
        layers_mj: energy of each planned layer in order; they add up to `energy_mj`.
    """

    latency_ms: Metric
    energy_mj: Metric
    layers_ms: tuple[Metric, ...]
    layers_mj: tuple[Metric, ...]


def predict(layers: Sequence[PlannedLayer], target: Target, *, threads: int) -> PredictedCost:
    """Predict latency and energy of one inference.

    Args:
        layers: kernel calls of the artefact.
        target: the device.
        threads: threads that the kernels are split over; no more than the device's cores count.
    """
    milliseconds, factor, source = _latencies(layers, target, threads)

    def value(predicted: float) -> Value:
        return Value(
            value=predicted, low=predicted / factor, high=predicted * factor, mode=Mode.PREDICTED, source=source
        )

    energies = layer_energies(layers, milliseconds, factor, target, threads=threads)
    layers_ms = tuple(value(each) for each in milliseconds)
    return PredictedCost(value(math.fsum(milliseconds)), _sum(energies), layers_ms, energies)


def _latencies(layers: Sequence[PlannedLayer], target: Target, threads: int) -> tuple[list[float], float, str]:
    """Milliseconds of each layer, the factor of the interval to either side, and what they rest on."""
    if target.gpu is not None:
        return gpu_latencies(layers, target, target.gpu)
    calibration = calibration_of(target, threads)
    if calibration is not None:
        times = [time / _MICROSECONDS_PER_MILLISECOND for time in calibration.microseconds(layers, target)]
        return times, calibration.factor, _calibrated(calibration)
    device = rates_of(target, threads)
    works = [work_of(layer) for layer in layers]
    factor = math.exp(math.hypot(device.interval * deviation(works, device), _ENGINES_DIFFER_BY))
    times = [layer.share * _milliseconds(work, device) for layer, work in zip(layers, works, strict=True)]
    return times, factor, _source(target, device, threads)


def deviation(works: Sequence[Mapping[Cost, float]], device: DeviceRates) -> float:
    """Standard deviation of the logarithm of a network's latency, other engines aside.

    The rates' errors count by the square of their share of the time, as if they were independent; the factor
    `interval` of the fit makes good for that.
    """
    times = dict.fromkeys(Cost, 0.0)
    for work in works:
        for cost, amount in work.items():
            times[cost] += amount * device.rates[cost].value
    total = math.fsum(times.values()) or 1.0
    variance = math.fsum((times[cost] / total * device.rates[cost].error) ** 2 for cost in Cost)
    return math.hypot(math.sqrt(variance), device.residual)


def _milliseconds(work: Mapping[Cost, float], device: DeviceRates) -> float:
    microseconds = math.fsum(amount * device.rates[cost].value for cost, amount in work.items())
    return microseconds / _MICROSECONDS_PER_MILLISECOND


def _calibrated(calibration: Calibration) -> str:
    used = "1 thread" if calibration.threads == 1 else f"{calibration.threads} threads"
    error = f"unseen kernels missed by {calibration.unseen_error:.0%} in the mean"
    return f"calibrated on this machine on {calibration.measured_on}, {used}, {calibration.kernels} kernels; {error}"


def _source(target: Target, device: DeviceRates, threads: int) -> str:
    used = "1 thread" if threads == 1 else f"{threads} threads"
    error = f"unseen networks missed by {device.unseen_error:.0%} in the mean"
    return f"latency model of targets/{target.name}.toml, {used}: {device.source}; {error}"


def _sum(energies: Sequence[Metric]) -> Metric:
    values = [energy for energy in energies if isinstance(energy, Value)]
    missing = [energy for energy in energies if isinstance(energy, Unavailable)]
    if missing or not values:
        return missing[0] if missing else Unavailable(unavailable="the artefact has no kernels")
    return Value(
        value=math.fsum(each.value for each in values),
        low=math.fsum(each.low for each in values),
        high=math.fsum(each.high for each in values),
        mode=Mode.PREDICTED,
        source=values[0].source,
    )
