"""Rates of a device for a number of threads: from its datasheet's fit, or from the numbers of its datasheet alone."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgec.core.target import Target
from edgec.core.target_prediction import LatencyRates, Prediction, Rate
from edgec.measure.prediction_work import Cost

_PRIOR = Path(__file__).with_name("latency_prior.toml")
_IN_ELEMENTS_OF_ARITHMETIC = frozenset({Cost.DENSE, Cost.DENSE_3X3, Cost.POINTWISE, Cost.DEPTHWISE, Cost.SHALLOW})
_HALVES_A_FLOAT = 2.0


@dataclass(frozen=True)
class DeviceRates:
    """What a prediction for a device and a number of threads rests on.

    Attributes:
        rates: microseconds of a unit of each class, with the deviation of its logarithm.
        residual: standard deviation of the logarithm of latency that is left when the rates are known.
        interval: standard deviations to either side that hold 90 % of latencies.
        unseen_error: mean absolute error, as a share, where the fit had not seen the network (or the device).
        source: what the rates rest on.
    """

    rates: Mapping[Cost, Rate]
    residual: float
    interval: float
    unseen_error: float
    source: str


class _Dependence(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    constant: float
    error: float
    exponents: dict[str, float]


@dataclass(frozen=True)
class _Prior:
    devices: int
    unseen_error: float
    residual: float
    interval: float
    dependences: Mapping[Cost, _Dependence]


def rates_of(target: Target, threads: int) -> DeviceRates:
    """The rates of a target, of fp32 arithmetic where the class is not of integers.

    Args:
        target: a target that has cores.
        threads: threads that kernels are split over; no more than the device's cores count.
    """
    used = min(threads, int(target.core.cores.value))
    if target.prediction is None:
        return _from_datasheet(target, used)
    fitted = target.prediction
    rates = {cost: _with_threads(fitted, cost, used) for cost in Cost}
    return DeviceRates(rates, fitted.residual, fitted.interval, fitted.unseen_error, fitted.source)


def _with_threads(fitted: Prediction, cost: Cost, threads: int) -> Rate:
    """A power of the number of threads through the two fits nearest to it; beyond them the nearest fit."""
    ordered = sorted(fitted.rates, key=lambda rates: rates.threads)
    below = [rates for rates in ordered if rates.threads <= threads] or ordered[:1]
    above = [rates for rates in ordered if rates.threads >= threads] or ordered[-1:]
    few, many = _rate(below[-1], cost), _rate(above[0], cost)
    share = 0.0
    if above[0].threads > below[-1].threads:
        share = math.log(threads / below[-1].threads) / math.log(above[0].threads / below[-1].threads)
    value = few.value ** (1 - share) * many.value**share
    if cost in _IN_ELEMENTS_OF_ARITHMETIC and fitted.arithmetic == "float16":
        value *= _HALVES_A_FLOAT
    return Rate(value=value, error=max(few.error, many.error))


def _rate(rates: LatencyRates, cost: Cost) -> Rate:
    rate: Rate = getattr(rates, cost.value)
    return rate


def _from_datasheet(target: Target, threads: int) -> DeviceRates:
    prior, core = _prior(), target.core
    numbers = {
        "macs_per_cycle": core.fma_per_cycle.value,
        "clock_ghz": core.clock_mhz.value / 1e3,
        "threads": float(threads),
        "bandwidth_gbps": target.memory.bandwidth_gbps.value,
    }
    rates = {}
    for cost, dependence in prior.dependences.items():
        powers = (exponent * math.log(numbers[name]) for name, exponent in dependence.exponents.items())
        rates[cost] = Rate(value=math.exp(dependence.constant + sum(powers)), error=dependence.error)
    source = f"from the datasheet alone, as {prior.devices} other devices depend on theirs; nothing was measured on it"
    return DeviceRates(rates, prior.residual, prior.interval, prior.unseen_error, source)


@functools.cache
def _prior() -> _Prior:
    content = tomllib.loads(_PRIOR.read_text(encoding="utf-8"))
    return _Prior(
        devices=content["devices"],
        unseen_error=content["unseen_error"],
        residual=content["residual"],
        interval=content["interval"],
        dependences={cost: _Dependence.model_validate(content[cost.value]) for cost in Cost},
    )
