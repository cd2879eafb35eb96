"""A yardstick for the latency model: the error of a fit that knows no work, but has seen the networks elsewhere.

    python benchmarks/latency_yardstick.py

Logarithms of latencies are taken as normal over the set-ups, with a mean for each network and a covariance between the
networks. Both are estimated from nine tenths of the devices (expectation maximization: not every set-up has every
network); on the others each network, in fp32 and int8, is predicted by those that are left. It says nothing of a
network that is new. With as many devices as there are processors, what it misses is mostly no network's: clocks, other
programs, versions of the engine.
"""

from __future__ import annotations

import numpy as np
from fit_latency import PARTS, tables
from latency_data import Table, families, integer_networks, observations
from latency_model import Matrix, Observations
from latency_report import Errors
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
SWEEPS = 15
STRETCH = 0.03
"""Variance that is added to that of every network, of a logarithm of latency, and a tenth of it to each measurement."""


def from_other_networks(table: Table) -> Errors:
    """Predictions of each family of networks on each device, from the others there and from the other devices."""
    observed = observations(table)
    predicted = np.zeros_like(observed.latency)
    names = sorted({setup.name for setup in table.setups})
    for part in range(PARTS):
        out = np.array([setup.name in names[part::PARTS] for setup in table.setups])
        mean, covariance = _normal(observed.rows(~out))
        for row in np.flatnonzero(out):
            for family in families(table.networks):
                known = (observed.seen[row] > 0) & ~family
                gain = _gain(covariance, family, known, STRETCH / 10)
                predicted[row, family] = mean[family] + gain @ (observed.latency[row] - mean)[known]
    return Errors.of(table, observed, predicted, np.ones_like(predicted))


def _normal(observed: Observations) -> tuple[Matrix, Matrix]:
    networks = observed.latency.shape[1]
    mean = (observed.latency * observed.seen).sum(axis=0) / observed.seen.sum(axis=0)
    covariance = np.ones((networks, networks)) + np.eye(networks)
    for _ in range(SWEEPS):
        filled = observed.latency.copy()
        doubt = STRETCH * np.eye(networks)
        for row, seen in enumerate(observed.seen > 0):
            gain = _gain(covariance, ~seen, seen, 0.0)
            filled[row, ~seen] = mean[~seen] + gain @ (observed.latency[row] - mean)[seen]
            doubt[np.ix_(~seen, ~seen)] += covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
        mean = filled.mean(axis=0)
        covariance = ((filled - mean).T @ (filled - mean) + doubt) / len(filled)
    return mean, covariance


def _gain(covariance: Matrix, wanted: Mask, known: Mask, noise: float) -> Matrix:
    among = covariance[np.ix_(known, known)] + noise * np.eye(int(known.sum()))
    return np.asarray(np.linalg.solve(among, covariance[np.ix_(known, wanted)]).T)


def main() -> None:
    for title, table in zip(("processors", "graphics processors"), tables(), strict=True):
        errors = from_other_networks(table)
        integer = integer_networks(table.networks)
        for name, columns in (("fp32", ~integer), ("all", integer | True)):
            values = np.array(list(errors.devices(columns).values()))
            print(f"{title}, {name} networks: median {np.median(values):.1%}, mean {values.mean():.1%}")


if __name__ == "__main__":
    main()
