"""Made-up showers in a module of the high-granularity calorimeter: nothing of them was measured or simulated by Geant.

- A shower's energy falls off with the distance from its axis as two exponentials, a core and a halo (Grindhammer and
  Peters, "The Parameterized Simulation of Electromagnetic Showers in Homogeneous and Sampling Calorimeters", 1993,
  section 3.2); the core is narrower than a cell in early layers and grows with depth.
- Energies fall as a power law, as those of jets do; each cell fluctuates as 25 % / sqrt(E) in GeV, about the sampling
  term of the calorimeter (CMS-TDR-019, "The Phase-2 Upgrade of the CMS Endcap Calorimeter", 2017).
- At 200 collisions a crossing, low energies lie about everywhere: each cell is hit with the probability `occupancy`.
- Noise is Gaussian; what is below the threshold of the front end reads 0.

Positions are in units of a trigger cell's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geometry import CELLS, centres

_REACH = 4.5
"""Showers start within the hexagon or just outside."""


@dataclass(frozen=True)
class Conditions:
    """What the showers are made with.

    Attributes:
        showers: mean number of showers in a module, beyond the first.
        least_gev: smallest energy of a shower.
        slope: exponent of the energies' power law.
        occupancy: probability that a collision besides leaves energy in a cell.
        pileup_gev: mean of that energy.
        noise_gev: deviation of the noise.
        threshold_gev: what the front end suppresses.
    """

    showers: float = 0.7
    least_gev: float = 3.0
    slope: float = 1.6
    occupancy: float = 0.25
    pileup_gev: float = 0.25
    noise_gev: float = 0.05
    threshold_gev: float = 0.15


def make_showers(count: int, seed: int, conditions: Conditions | None = None) -> np.ndarray:
    """Energies of the cells in GeV, float32 [count, 48]; every module has some."""
    given = conditions or Conditions()
    random = np.random.default_rng(seed)
    energies = np.zeros((count, CELLS))
    for row, number in enumerate(1 + random.poisson(given.showers, count)):
        for _ in range(number):
            energies[row] += _shower(random, given)
    pileup = random.exponential(given.pileup_gev, energies.shape) * (random.random(energies.shape) < given.occupancy)
    fluctuating = energies + 0.25 * np.sqrt(np.maximum(energies, 0)) * random.standard_normal(energies.shape)
    read = fluctuating + pileup + given.noise_gev * random.standard_normal(energies.shape)
    read[read < given.threshold_gev] = 0.0
    read[read.sum(axis=1) == 0, 0] = given.threshold_gev
    return read.astype(np.float32)


def fractions(energies: np.ndarray) -> np.ndarray:
    """Each cell's share of its module; the sum goes to the trigger by itself."""
    return np.asarray(energies / energies.sum(axis=1, keepdims=True), np.float32)


def _shower(random: np.random.Generator, given: Conditions) -> np.ndarray:
    energy = given.least_gev * (1 - random.random()) ** (-1 / given.slope)
    axis = random.uniform(-_REACH, _REACH, 2)
    core, halo = random.uniform(0.25, 0.8), random.uniform(1.0, 2.0)
    share = random.uniform(0.75, 0.95)
    radius = np.linalg.norm(centres() - axis, axis=1)
    profile = share * np.exp(-radius / core) / core**2 + (1 - share) * np.exp(-radius / halo) / halo**2
    return np.asarray(energy * profile / (2 * np.pi))
