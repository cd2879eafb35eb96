"""The sixteen features of Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", 2018.

Energy correlations: Larkoski, Salam and Thaler, "Energy Correlation Functions for Jet Substructure", 2013. D2:
Larkoski, Moult and Neill, 2014. M2 and N2: Moult, Necib and Thaler, "New Angles on Energy Correlation Functions", 2016.
The mass is that of the modified mass drop (Dasgupta et al., "Towards an understanding of jet substructure", 2013) with
a share of 0.1. Functions of three particles see the 24 hardest of a jet.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = (
    *("sum of z log z", "C1 0", "C1 1", "C1 2", "C2 1", "C2 2", "D2 1", "D2 2", "D2 1,1", "D2 1,2"),
    *("M2 1", "M2 2", "N2 1", "N2 2", "mass", "multiplicity"),
)
"""Exponents after the name. By its definition `D2 1,1` is `D2 1`; the published list has both."""

_THREE = 24
_LEAST_SHARE = 0.1
_TINY = 1e-12
_CHUNK = 500


def features(jets: Tensor, numbers: Tensor) -> Tensor:
    """Features [N, 16] of constituents [N, P, 3] (momentum, rapidity, azimuth) and their numbers [N]."""
    parts = [_features(*each) for each in zip(jets.double().split(_CHUNK), numbers.double().split(_CHUNK), strict=True)]
    return torch.cat(parts).float()


def _features(jets: Tensor, numbers: Tensor) -> Tensor:
    share = jets[..., 0] / jets[..., 0].sum(1, keepdim=True)
    angles = torch.cdist(jets[..., 1:], jets[..., 1:], compute_mode="donot_use_mm_for_euclid_dist")
    entropy = torch.special.xlogy(share, share).sum(1)
    none, one, two = (_two(share, angles, exponent) for exponent in (0, 1, 2))
    hard, near = share[:, :_THREE], angles[:, :_THREE, :_THREE]
    three, three_squared = _three(hard, near), _three(hard, near**2)
    (least, least_squared), (pairs, pairs_squared) = _generalised(hard, near)
    columns = [entropy, none, one, two, three / one**2, three_squared / two**2, three / one**3, three_squared / two**3]
    columns += [three / one**3, three / two**1.5]
    columns += [least / one, least_squared / two, pairs / one**2, pairs_squared / two**2, groomed_mass(jets), numbers]
    return torch.stack(columns, 1)


def _two(share: Tensor, angles: Tensor, exponent: int) -> Tensor:
    """Sum over pairs of z z angle^exponent."""
    weights = angles**exponent
    own = (share**2 * torch.diagonal(weights, dim1=1, dim2=2)).sum(1)
    return (((share[:, None] @ weights)[:, 0] * share).sum(1) - own).clamp_min(_TINY) / 2


def _three(share: Tensor, weights: Tensor) -> Tensor:
    """Sum over triples of z z z times the three weights of their pairs, which are 0 for a particle with itself."""
    paths = weights @ (share[:, :, None] * weights)
    return (share[:, :, None] * share[:, None] * weights * paths).sum((1, 2)) / 6


def _generalised(share: Tensor, angles: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Sums over triples of the smallest angle, and of the product of the two smallest, each to the powers 1 and 2."""
    triples = torch.combinations(torch.arange(angles.shape[1]), 3).T
    weight = share[:, triples].prod(1)
    sides = torch.stack([angles[:, triples[a], triples[b]] for a, b in ((0, 1), (0, 2), (1, 2))])
    least = sides.amin(0)
    pairs = sides.prod(0) / sides.amax(0).clamp_min(_TINY)
    first, second = ([(weight * value**exponent).sum(1) for exponent in (1, 2)] for value in (least, pairs))
    return (first[0], first[1]), (second[0], second[1])


def groomed_mass(jets: Tensor) -> Tensor:
    """Mass [N] in GeV after the modified mass drop.

    Particles are joined by the smallest distance (Cambridge/Aachen). The mass of a pair counts if the softer one has a
    tenth of the momentum; otherwise the harder one's mass stays.
    """
    pt, momentum = jets[..., 0].clone(), _momenta(jets)
    mass = torch.zeros_like(pt)
    rows = torch.arange(len(jets))
    distance = torch.cdist(jets[..., 1:], jets[..., 1:], compute_mode="donot_use_mm_for_euclid_dist")
    there = pt > 0
    distance[~(there[:, :, None] & there[:, None]) | torch.eye(pt.shape[1], dtype=torch.bool)] = torch.inf
    for _ in range(pt.shape[1] - 1):
        closest, pair = distance.flatten(1).min(1)
        first, second = pair // pt.shape[1], pair % pt.shape[1]
        joined = momentum[rows, first] + momentum[rows, second]
        softer, harder = torch.aminmax(torch.stack([pt[rows, first], pt[rows, second]]), dim=0)
        inherited = torch.where(pt[rows, first] > pt[rows, second], mass[rows, first], mass[rows, second])
        new = torch.where(softer > _LEAST_SHARE * (softer + harder), _mass(joined), inherited)
        more = torch.isfinite(closest)
        at, gone = (rows[more], first[more]), (rows[more], second[more])
        momentum[at], mass[at], pt[at] = joined[more], new[more], torch.hypot(joined[more, 1], joined[more, 2])
        distance[gone], distance[gone[0], :, gone[1]], pt[gone] = torch.inf, torch.inf, 0.0
        beside = _places(momentum[more]) - _places(joined[more])[:, None]
        updated = torch.where(torch.isfinite(distance[at]), beside.norm(dim=2), torch.inf)
        distance[at], distance[at[0], :, at[1]] = updated, updated
    return mass[rows, pt.argmax(1)]


def _momenta(jets: Tensor) -> Tensor:
    """E, x, y, z without mass."""
    pt, rapidity, azimuth = jets.unbind(2)
    return torch.stack(
        [pt * torch.cosh(rapidity), pt * torch.cos(azimuth), pt * torch.sin(azimuth), pt * torch.sinh(rapidity)], 2
    )


def _places(momentum: Tensor) -> Tensor:
    """Rapidity and azimuth."""
    energy, x, y, z = momentum.unbind(-1)
    return torch.stack([torch.atanh((z / energy.clamp_min(_TINY)).clamp(-0.999999, 0.999999)), torch.atan2(y, x)], -1)


def _mass(momentum: Tensor) -> Tensor:
    return (momentum[:, 0] ** 2 - (momentum[:, 1:] ** 2).sum(1)).clamp_min(0).sqrt()
