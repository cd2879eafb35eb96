"""What this machine was measured to take for each class of work of our kernels: fitted, kept, and looked up again.

The rates are those that miss the times of the kernels of small networks (`calibration_networks.py`) by the least sum of
squared relative errors, none of them negative (C. Lawson and R. Hanson, Solving Least Squares Problems, chapter 23;
solved by coordinate descent). Errors are relative to the geometric mean of the measured and the predicted time, so that
half and twice are as bad; the weights follow the prediction in a few rounds. The interval is what stretches of kernels
were missed by that the fit had not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgec.core.cache import cache_folder, key_of
from edgec.core.host_machine import processor_name
from edgec.measure.calibration_work import OwnCost, own_work

if TYPE_CHECKING:
    from edgec.backends.plan import PlannedLayer
    from edgec.core.target import Target

_NATIVE = "native"
_LEAST_MICROSECONDS = 0.1
"""A kernel below this is as good as free: its relative error is that of the clock."""
_SWEEPS = 500
_ROUNDS = 6
_FOLDS = 5
_STRETCH = 6
"""Kernels in a row whose sum is predicted to see how far the rates miss."""
_COVERAGE = 0.9


class Calibration(BaseModel):
    """Rates of our kernels on one machine with a number of threads.

    Attributes:
        machine: the processor's name.
        threads: threads that kernels were split over.
        measured_on: the day.
        kernels: how many kernels were timed.
        rates: microseconds of a unit of each class of work.
        unseen_error: mean absolute error, as a share, of stretches of kernels that the fit had not seen.
        factor: nine in ten of those stretches took between 1 / factor and factor times what was predicted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str
    threads: int = Field(ge=1)
    measured_on: date
    kernels: int
    rates: dict[OwnCost, float]
    unseen_error: float = Field(ge=0)
    factor: float = Field(ge=1)

    def microseconds(self, layers: Sequence[PlannedLayer], target: Target) -> tuple[float, ...]:
        """Predicted time of each kernel call, in a branch by the share of inferences that take it."""
        works = own_work(layers, target.core)
        return tuple(layer.share * self._time(work) for layer, work in zip(layers, works, strict=True))

    def _time(self, work: Mapping[OwnCost, float]) -> float:
        return math.fsum(amount * self.rates.get(cost, 0.0) for cost, amount in work.items())


@dataclass(frozen=True)
class TimedNetwork:
    """A network that was timed: its kernels, and the microseconds that each took."""

    layers: tuple[PlannedLayer, ...]
    microseconds: tuple[float, ...]


def calibrate(networks: Sequence[TimedNetwork], target: Target, *, threads: int, today: date) -> Calibration:
    """Fit the rates to measured times.

    Args:
        networks: what was timed on this machine.
        target: the machine.
        threads: threads that the kernels were split over.
        today: the day of the measurement.
    """
    work = np.concatenate([_matrix(network, target) for network in networks])
    times = np.concatenate([np.array(network.microseconds) for network in networks])
    ratios = _unseen_ratios(work, times, np.concatenate(_stretches(networks)))
    return Calibration(
        machine=processor_name(),
        threads=threads,
        measured_on=today,
        kernels=len(times),
        rates=dict(zip(OwnCost, (float(rate) for rate in _fit(work, times)), strict=True)),
        unseen_error=float(np.mean(np.abs(ratios - 1))),
        factor=float(np.exp(np.quantile(np.abs(np.log(ratios)), _COVERAGE))),
    )


def calibration_of(target: Target, threads: int) -> Calibration | None:
    """The calibration of this machine with a number of threads, if the target is this machine and one was made."""
    if target.compiler.triple != _NATIVE:
        return None
    try:
        return Calibration.model_validate_json(calibration_file(target, threads).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        # None was made, or one by another version of edgec, whose classes of work were others.
        return None


def calibration_file(target: Target, threads: int) -> Path:
    """Where the calibration of this machine is kept, in the folder of edgec's cache."""
    core = target.core
    numbers = (core.cores, core.vector_bits, core.l1_data_kib, core.l2_kib, core.l3_kib)
    key = key_of(processor_name(), *("" if number is None else f"{number.value:g}" for number in numbers))
    return cache_folder() / "calibration" / f"{key[:16]}-{threads}.json"


def _matrix(network: TimedNetwork, target: Target) -> NDArray[np.float64]:
    works = own_work(network.layers, target.core)
    return np.array([[work.get(cost, 0.0) for cost in OwnCost] for work in works])


def _stretches(networks: Sequence[TimedNetwork]) -> list[NDArray[np.int64]]:
    """The number of each kernel's stretch."""
    numbers, first = [], 0
    for network in networks:
        numbers.append(first + np.arange(len(network.layers)) // _STRETCH)
        first = int(numbers[-1][-1]) + 1
    return numbers


def _unseen_ratios(
    work: NDArray[np.float64], times: NDArray[np.float64], stretches: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Predicted over measured time of each stretch, by a fit without it."""
    predicted = np.zeros_like(times)
    for fold in range(_FOLDS):
        out = stretches % _FOLDS == fold
        predicted[out] = work[out] @ _fit(work[~out], times[~out])
    sums = [np.bincount(stretches, np.maximum(each, 1e-3)) for each in (predicted, times)]
    ratios: NDArray[np.float64] = sums[0] / sums[1]
    return ratios


def _fit(work: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates, none negative, of the least sum of squared relative errors."""
    measured = np.maximum(times, _LEAST_MICROSECONDS)
    predicted = measured
    for _ in range(_ROUNDS):
        rates = _least_squares(work, times, 1 / np.sqrt(measured * predicted))
        predicted = np.maximum(work @ rates, _LEAST_MICROSECONDS)
    return rates


def _least_squares(
    work: NDArray[np.float64], times: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    weighted = work * scale[:, None]
    squares, products = weighted.T @ weighted, weighted.T @ (times * scale)
    rates = np.zeros(work.shape[1])
    for _ in range(_SWEEPS):
        for at in np.flatnonzero(np.diagonal(squares)):
            rates[at] = max(0.0, rates[at] + (products[at] - squares[at] @ rates) / squares[at, at])
    return rates
