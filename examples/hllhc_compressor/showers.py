"""Made-up showers in a module of the high-granularity calorimeter: nothing of them was measured or simulated by Geant.

- A shower's energy falls off with the distance from its axis as two exponentials, a core and a halo (Grindhammer and
  Peters, "The Parameterized Simulation of Electromagnetic Showers in Homogeneous and Sampling Calorimeters", 1993,
  section 3.2); the core is narrower than a cell in early layers and grows with depth.
- Energies fall as a power law, as those of jets do; each cell fluctuates as 25 % / sqrt(E) in GeV, about the sampling
  term of the calorimeter (CMS-TDR-019, "The Phase-2 Upgrade of the CMS Endcap Calorimeter", 2017).
- At 200 collisions a crossing, low energies lie about everywhere, near the beam much more than far from it. A trigger
  cell sums four cells of the sensor. A module's share of sensor cells that are hit is drawn between `least_occupancy`
  and `most_occupancy`, evenly in its logarithm; each hit leaves an energy that falls off exponentially. The limits are
  assumed: one hit in fifty far from the beam, one in two next to it.
- Noise is Gaussian; what is below the threshold of the front end reads 0.

Positions are in units of a trigger cell's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geometry import CELLS, centres

_REACH = 4.5
"""Showers start within the hexagon or just outside."""

_SENSOR_CELLS = 4
"""In a trigger cell of a low-density module."""


@dataclass(frozen=True)
class Conditions:
    """What the showers are made with.

    Attributes:
        showers: mean number of showers in a module, beyond the first.
        least_gev: smallest energy of a shower.
        slope: exponent of the energies' power law.
        least_occupancy: smallest probability that other collisions hit a cell of the sensor.
        most_occupancy: largest.
        hit_gev: mean energy of such a hit.
        noise_gev: deviation of the noise of a trigger cell.
        threshold_gev: what the front end suppresses.
    """

    showers: float = 0.7
    least_gev: float = 3.0
    slope: float = 1.6
    least_occupancy: float = 0.02
    most_occupancy: float = 0.5
    hit_gev: float = 0.25
    noise_gev: float = 0.05
    threshold_gev: float = 0.15


def make_showers(count: int, seed: int, conditions: Conditions | None = None) -> np.ndarray:
    """Energies of the cells in GeV, float32 [count, 48]; every module has some."""
    given = conditions or Conditions()
    random = np.random.default_rng(seed)
    energies = _showers(count, random, given)
    fluctuating = energies + 0.25 * np.sqrt(energies) * random.standard_normal(energies.shape)
    noise = given.noise_gev * random.standard_normal(energies.shape)
    read = fluctuating + _other_collisions(count, random, given) + noise
    read[read < given.threshold_gev] = 0.0
    read[read.sum(axis=1) == 0, 0] = given.threshold_gev
    return read.astype(np.float32)


def fractions(energies: np.ndarray) -> np.ndarray:
    """Each cell's share of its module; the sum goes to the trigger by itself."""
    return np.asarray(energies / energies.sum(axis=1, keepdims=True), np.float32)


def _showers(count: int, random: np.random.Generator, given: Conditions) -> np.ndarray:
    module = np.repeat(np.arange(count), 1 + random.poisson(given.showers, count))
    total = len(module)
    energy = given.least_gev * (1 - random.random((total, 1))) ** (-1 / given.slope)
    axis = random.uniform(-_REACH, _REACH, (total, 1, 2))
    core, halo = random.uniform(0.25, 0.8, (total, 1)), random.uniform(1.0, 2.0, (total, 1))
    share = random.uniform(0.75, 0.95, (total, 1))
    radius = np.linalg.norm(centres() - axis, axis=2)
    profile = share * np.exp(-radius / core) / core**2 + (1 - share) * np.exp(-radius / halo) / halo**2
    energies = np.zeros((count, CELLS))
    np.add.at(energies, module, energy * profile / (2 * np.pi))
    return energies


def _other_collisions(count: int, random: np.random.Generator, given: Conditions) -> np.ndarray:
    limits = np.log([given.least_occupancy, given.most_occupancy])
    occupancy = np.exp(random.uniform(*limits, (count, 1)))
    # With so many independent collisions the hits of a cell are Poisson's, and a sum of exponentials is a gamma.
    hits = random.poisson(-_SENSOR_CELLS * np.log1p(-occupancy), (count, CELLS))
    return np.where(hits > 0, random.gamma(np.maximum(hits, 1), given.hit_gev), 0.0)
