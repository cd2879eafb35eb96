"""Rates of many devices at once, from latencies of whole networks: maximum a posteriori with a prior over devices.

The latency of a network on a set-up (device, threads, cluster) is the sum over the classes of work of amount times
rate. Logarithms of the rates are normal over the devices, around a mean that is linear in the logarithms of the numbers
of the datasheet; so a device with many measurements is fitted to them, one with few is drawn to devices like it, and
one with none gets the mean. Residuals of the logarithm of latency follow Student's t, which bears outliers. Mean and
covariance of the rates are estimated from the same latencies by expectation maximization, stopped after a dozen sweeps,
which drew unseen networks nearer than convergence did.
Source: Gelman et al., Bayesian Data Analysis, 3rd edition, chapters 5 (hierarchical models) and 17.2 (Student's t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SWEEPS = 12
STEPS = 6
RIDGE = 2.0
"""How strongly, in set-ups, the dependence on the datasheet is drawn to what physics suggests."""


@dataclass(frozen=True)
class Noise:
    """What the sum of classes misses a logarithm of latency by: Student's t.

    Attributes:
        scale: of each network.
        freedom: degrees of freedom.
    """

    scale: Matrix
    freedom: float


@dataclass(frozen=True)
class Observations:
    """Latencies of set-ups by network.

    Attributes:
        work: amounts, networks by classes.
        latency: logarithm of microseconds, set-ups by networks; anything where there is none.
        seen: 1 where there is a latency, else 0; set-ups by networks.
        sheet: the datasheet's numbers as logarithms after a 1, set-ups by numbers.
    """

    work: Matrix
    latency: Matrix
    seen: Matrix
    sheet: Matrix

    def without(self, networks: NDArray[np.bool_]) -> Observations:
        """The same without the latencies of some networks."""
        return Observations(self.work, self.latency, self.seen * ~networks, self.sheet)

    def rows(self, kept: NDArray[np.bool_]) -> Observations:
        """The same for some of the set-ups."""
        return Observations(self.work, self.latency[kept], self.seen[kept], self.sheet[kept])


@dataclass(frozen=True)
class Population:
    """What is known of a rate before any latency is: the mean by datasheet, and the covariance between classes."""

    weights: Matrix
    covariance: Matrix

    def mean(self, sheet: Matrix) -> Matrix:
        """Mean logarithms of the rates, set-ups by classes."""
        return sheet @ self.weights


@dataclass(frozen=True)
class Rates:
    """Logarithms of rates with their covariances, set-ups by classes (by classes)."""

    logarithms: Matrix
    covariances: Matrix

    def predict(self, work: Matrix) -> tuple[Matrix, Matrix]:
        """Logarithm of latency, and the standard deviation that the rates' own uncertainty leaves it.

        The deviation is that of independent rates: what the datasheet has room to store.

        Args:
            work: networks by classes.
        """
        parts = np.exp(self.logarithms)[:, None, :] * work[None]
        total = parts.sum(axis=2)
        shares = parts / total[:, :, None]
        variances = np.diagonal(self.covariances, axis1=1, axis2=2)
        return np.log(total), np.sqrt((shares**2 * variances[:, None, :]).sum(axis=2))


def estimate(observed: Observations, start: Population, noise: Noise) -> tuple[Population, Rates]:
    """Population and rates of every set-up.

    Args:
        observed: latencies.
        start: how the logarithms of rates should depend on the datasheet and vary; their level is the latencies'.
        noise: of a latency.
    """
    classes, setups = observed.work.shape[1], len(observed.latency)
    expected = start.weights
    weights = expected.copy()
    level = np.log((np.exp(observed.sheet @ weights)[:, None, :] * observed.work[None]).sum(axis=2))
    weights[0] += np.median((observed.latency - level)[observed.seen > 0])
    population = Population(weights, start.covariance)
    rates = Rates(population.mean(observed.sheet), np.zeros((setups, classes, classes)))
    for _ in range(SWEEPS):
        rates = fit(observed, population, noise, rates.logarithms)
        population = _population(rates, observed.sheet, expected)
    return population, rates


def fit(observed: Observations, population: Population, noise: Noise, start: Matrix | None = None) -> Rates:
    """The rates of each set-up by Gauss and Newton's method, weights of Student's t."""
    precision = np.linalg.inv(population.covariance)
    prior = population.mean(observed.sheet)
    logarithms = prior if start is None else start
    for _ in range(STEPS if start is not None else 4 * STEPS):
        parts = np.exp(logarithms)[:, None, :] * observed.work[None]
        total = parts.sum(axis=2)
        shares = parts / total[:, :, None]
        residual = (observed.latency - np.log(total)) * observed.seen
        trust = observed.seen * (noise.freedom + 1) / (noise.freedom + (residual / noise.scale) ** 2) / noise.scale**2
        weighted = np.swapaxes(shares * trust[:, :, None], 1, 2)
        curvature = weighted @ shares + precision
        slope = (weighted @ residual[:, :, None])[:, :, 0] + (prior - logarithms) @ precision
        logarithms = logarithms + np.clip(np.linalg.solve(curvature, slope[:, :, None])[:, :, 0], -1, 1)
    return Rates(logarithms, np.linalg.inv(curvature))


def _population(rates: Rates, sheet: Matrix, expected: Matrix) -> Population:
    penalty = RIDGE * np.eye(sheet.shape[1])
    penalty[0, 0] = 0
    weights = np.linalg.solve(sheet.T @ sheet + penalty, sheet.T @ rates.logarithms + penalty @ expected)
    deviations = rates.logarithms - sheet @ weights
    classes = deviations.shape[1]
    scatter = deviations.T @ deviations + rates.covariances.sum(axis=0) + 0.1 * np.eye(classes)
    return Population(np.asarray(weights), scatter / (len(deviations) + 1))
