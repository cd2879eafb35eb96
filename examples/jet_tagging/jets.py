"""Made-up jets of five kinds: nothing of them was measured or simulated by Pythia or Geant.

The kinds are those of the jets that the hls4ml project is taught with (Duarte et al., "Fast inference of deep neural
networks in FPGAs for particle physics", 2018): gluon, light quark, W, Z and top, at about 1 TeV, within 0.8 of the
axis.

- W and Z decay to two quarks, a top to a quark and a W; decays are isotropic at rest and boosted. Masses are those of
  the Particle Data Group, without widths.
- Each quark and gluon radiates gluons, which radiate in turn, each at smaller angles than the one before. Emissions are
  independent and even on the Lund plane, with 2 C alpha_s / pi for each unit of ln 1/angle and ln 1/share, above a
  transverse momentum of 1 GeV (Dreyer, Salam and Soyez, "The Lund Jet Plane", 2018, section 2). The coupling runs by
  its leading order. C is 4/3 for quarks and 3 for gluons. Momentum is kept, recoil left out.
- What is left breaks into a few hadrons with 0.3 GeV across, and a calorimeter reads each with 10 % of its momentum and
  0.005 of angle. Hadrons below 0.5 GeV are lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("gluon", "quark", "W", "Z", "top")
CONSTITUENTS = 48
"""The hardest of a jet that are kept."""

_PT_GEV, _PT_REACH = 1000.0, 100.0
_RADIUS = 0.8
_MASS_GEV = {"W": 80.4, "Z": 91.2, "top": 172.7}
_QUARK, _GLUON = 4 / 3, 3.0
_LEAST_KT_GEV, _LAMBDA_GEV, _FLAVOURS = 1.0, 0.25, 5
_EMISSIONS = 2 * _GLUON / np.pi


@dataclass(frozen=True)
class Particles:
    """Quarks, gluons or hadrons of many jets.

    Attributes:
        jet: number of the jet, int64 [P].
        pt: transverse momentum in GeV [P].
        place: rapidity and azimuth against the axis of the jet [P, 2].
        colour: 4/3 or 3 [P].
        angle: largest angle of emissions [P].
    """

    jet: np.ndarray
    pt: np.ndarray
    place: np.ndarray
    colour: np.ndarray
    angle: np.ndarray

    def chosen(self, rows: np.ndarray) -> Particles:
        """Some of them."""
        return Particles(self.jet[rows], self.pt[rows], self.place[rows], self.colour[rows], self.angle[rows])


def make_jets(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jets and their kinds.

    Returns:
        The hardest constituents by momentum, rapidity and azimuth, float32 [count, 48, 3], zeros where there are fewer;
        how many there are, int64 [count]; the kinds, int64 [count].
    """
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(KINDS), count)
    hadrons = _hadrons(_shower(_decays(kinds, random), random), random)
    within = np.linalg.norm(hadrons.place, axis=1) < _RADIUS
    found = hadrons.chosen(within & (hadrons.pt > 0.5))
    order = np.lexsort((-found.pt, found.jet))
    jet = found.jet[order]
    place = np.arange(len(jet)) - np.searchsorted(jet, jet)
    kept = place < CONSTITUENTS
    jets = np.zeros((count, CONSTITUENTS, 3), np.float32)
    jets[jet[kept], place[kept]] = np.column_stack([found.pt, found.place])[order][kept]
    return jets, np.bincount(jet, minlength=count), kinds


def _decays(kinds: np.ndarray, random: np.random.Generator) -> Particles:
    pt = _PT_GEV + random.uniform(-_PT_REACH, _PT_REACH, len(kinds))
    jet, momenta, colours = [], [], []
    for number, kind in enumerate(KINDS):
        rows = np.flatnonzero(kinds == number)
        mass = _MASS_GEV.get(kind, 0.0)
        mother = np.column_stack([np.hypot(pt[rows], mass), pt[rows], np.zeros(len(rows)), np.zeros(len(rows))])
        daughters = [mother]
        if kind == "top":
            boson, bottom = _two_bodies(mother, mass, _MASS_GEV["W"], random)
            daughters = [bottom, *_two_bodies(boson, _MASS_GEV["W"], 0.0, random)]
        elif mass:
            daughters = list(_two_bodies(mother, mass, 0.0, random))
        jet += [rows] * len(daughters)
        momenta += daughters
        colours += [np.full(len(rows), _GLUON if kind == "gluon" else _QUARK)] * len(daughters)
    _, x, y, z = np.concatenate(momenta).T
    # The beam is along z, the jet along x.
    place = np.column_stack([np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)])
    colour = np.concatenate(colours)
    # Emissions of a decay's quarks end where those of the whole decay begin.
    opening = np.clip(2 * np.linalg.norm(place, axis=1), 1e-3, _RADIUS)
    single = np.isin(kinds[np.concatenate(jet)], [KINDS.index("gluon"), KINDS.index("quark")])
    return Particles(np.concatenate(jet), np.hypot(x, y), place, colour, np.where(single, _RADIUS, opening))


def _two_bodies(
    mother: np.ndarray, mass: float, first: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Momenta (E, x, y, z) of two daughters, the first with a mass, of mothers [N, 4] with a mass."""
    along = random.uniform(-1, 1, len(mother))
    around = random.uniform(0, 2 * np.pi, len(mother))
    across = np.sqrt(1 - along**2)
    size = (mass**2 - first**2) / (2 * mass)
    direction = np.column_stack([along, across * np.cos(around), across * np.sin(around)])
    made = []
    for sign, energy in ((1, np.hypot(size, first)), (-1, size)):
        rest = sign * size * direction
        parallel = (rest * mother[:, 1:]).sum(1)
        factor = (parallel / (mother[:, 0] + mass) + energy) / mass
        boosted = rest + factor[:, None] * mother[:, 1:]
        made.append(np.column_stack([(mother[:, 0] * energy + parallel) / mass, boosted]))
    return made[0], made[1]


def _shower(partons: Particles, random: np.random.Generator) -> Particles:
    """All that is left when no gluon radiates any more."""
    finished = []
    while len(partons.pt):
        emitted, left = _emissions(partons, random)
        finished.append(left)
        partons = emitted
    return _joined(finished)


def _emissions(partons: Particles, random: np.random.Generator) -> tuple[Particles, Particles]:
    """The gluons that each emits, and the partons with the momentum that is left."""
    reach = np.log(np.maximum(partons.pt * partons.angle / _LEAST_KT_GEV, 1.0))
    most = _coupling(np.full(1, _LEAST_KT_GEV))[0]
    parent = np.repeat(np.arange(len(reach)), random.poisson(_EMISSIONS * most * reach**2 / 2))
    # Even on the triangle where both logarithms together stay within the reach.
    corner = np.sort(random.random((len(parent), 2)), axis=1)
    narrower, softer = reach[parent] * corner[:, 0], reach[parent] * (corner[:, 1] - corner[:, 0])
    angle, share = partons.angle[parent] * np.exp(-narrower), np.exp(-softer)
    transverse = share * angle * partons.pt[parent]
    kept = random.random(len(parent)) < partons.colour[parent] / _GLUON * _coupling(transverse) / most
    parent, angle, share = parent[kept], angle[kept], share[kept]
    around = random.uniform(0, 2 * np.pi, len(parent))
    place = partons.place[parent] + angle[:, None] * np.column_stack([np.cos(around), np.sin(around)])
    # Soft emissions take their share of the parent; where several are hard, all together take no more than there is.
    left = partons.pt / (1 + np.bincount(parent, share, len(reach)))
    gluons = Particles(partons.jet[parent], share * left[parent], place, np.full(len(parent), _GLUON), angle)
    return gluons, Particles(partons.jet, left, partons.place, partons.colour, partons.angle)


def _coupling(transverse_gev: np.ndarray) -> np.ndarray:
    first = (33 - 2 * _FLAVOURS) / (12 * np.pi)
    return np.asarray(1 / (first * np.log(np.maximum(transverse_gev, _LEAST_KT_GEV) ** 2 / _LAMBDA_GEV**2)))


def _hadrons(partons: Particles, random: np.random.Generator) -> Particles:
    parent = np.repeat(np.arange(len(partons.pt)), 1 + random.poisson(1.5, len(partons.pt)))
    weight = random.exponential(1.0, len(parent))
    pt = partons.pt[parent] * weight / np.bincount(parent, weight, len(partons.pt))[parent]
    spread = np.minimum(0.3 / np.maximum(pt, 0.3), 1.0)[:, None]
    noise = random.standard_normal((2, len(parent), 2))
    place = partons.place[parent] + spread * noise[0] + 0.005 * noise[1]
    read = pt * np.maximum(1 + 0.1 * random.standard_normal(len(parent)), 0)
    return Particles(partons.jet[parent], read, place, partons.colour[parent], partons.angle[parent])


def _joined(parts: list[Particles]) -> Particles:
    names = ("jet", "pt", "place", "colour", "angle")
    return Particles(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
