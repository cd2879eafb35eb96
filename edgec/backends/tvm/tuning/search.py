"""Which way of which contraction is measured next, and which ways are taken in the end.

Best first: the next measurement goes to the contraction that the network spends most time on, less the more ways of it
were measured in vain. The last measurements of the budget are for confirming: the fastest of many measured times is
too good to be true, so a way is taken only if it beats the cost model's choice in a run of its own, by more than noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Contraction, Implementation
from edgec.backends.tvm.tuning.candidates import candidates
from edgec.backends.tvm.tuning.comparison import Comparison

_SHARE_FOR_CONFIRMING = 0.2

Pair = tuple[Contraction, Implementation]
"""A way to compute a contraction."""

Measure = Callable[[Sequence[Pair], Mapping[Contraction, Implementation]], list[Comparison | None]]
"""Measures ways, each against another way of the same contraction; None where there is no scheduled kernel for one."""


@dataclass
class Site:
    """A contraction of the network and what is known of it.

    Attributes:
        contraction: what is computed.
        calls: how often in an inference.
        default: the cost model's way.
        waiting: ways that were not measured yet, the best predicted first.
        tried: how many were measured.
        default_cost: cost of the default.
        best: the fastest way so far, the default if there is none.
        ratio: its cost over that of the default.
        in_vain: measurements since the last gain.
        confirmed: whether `best` may be taken.
    """

    contraction: Contraction
    calls: int
    default: Implementation
    waiting: list[Implementation]
    tried: int
    default_cost: float
    best: Implementation
    ratio: float = 1.0
    in_vain: int = 0
    confirmed: bool = False
    cost: float = field(default=0.0)

    @property
    def promise(self) -> float:
        """Time that an inference spends here, less after measurements that gained nothing."""
        return self.calls * self.default_cost * self.ratio / (1 + self.in_vain)

    @property
    def saved(self) -> float:
        """Time of an inference that the best way is thought to save."""
        return self.calls * self.default_cost * (1 - self.ratio)


def waiting_ways(
    contraction: Contraction, default: Implementation, core: CoreDescription, tried: int
) -> list[Implementation]:
    """The ways to measure, less the default and those that were tried by an earlier run."""
    return [way for way in candidates(contraction, core) if way != default][tried:]


def search(sites: Sequence[Site], budget: int, width: int, measure: Measure, advance: Callable[[int], None]) -> None:
    """Spend a budget of measurements on some sites, whose fields hold the result.

    Args:
        sites: with the costs of their defaults.
        budget: measurements.
        width: ways to measure at a time.
        measure: see `Measure`.
        advance: told how many measurements were made.
    """
    reserved = int(budget * _SHARE_FOR_CONFIRMING)
    left = budget - reserved
    while left > 0:
        chosen = _next(sites, min(width, left))
        if not chosen:
            break
        pairs = [(site.contraction, site.waiting.pop(0)) for site in chosen]
        results = measure(pairs, {site.contraction: site.default for site in sites})
        for site, (_, way), result in zip(chosen, pairs, results, strict=True):
            _note(site, way, result)
        left -= len(pairs)
        advance(len(pairs))
    _confirm(sites, left + reserved, width, measure, advance)


def _next(sites: Iterable[Site], width: int) -> list[Site]:
    """The sites to measure one more way of each; a site may come several times."""
    found: list[Site] = []
    taken: dict[int, int] = {}
    open_sites = [site for site in sites if site.waiting]
    for _ in range(width):
        eligible = [site for site in open_sites if taken.get(id(site), 0) < len(site.waiting)]
        if not eligible:
            break
        best = max(eligible, key=lambda site: site.promise / (1 + taken.get(id(site), 0)))
        taken[id(best)] = taken.get(id(best), 0) + 1
        found.append(best)
    return found


def _note(site: Site, way: Implementation, result: Comparison | None) -> None:
    site.tried += 1
    site.in_vain += 1
    if result is not None and result.is_gain and result.ratio < site.ratio:
        site.best, site.ratio, site.in_vain = way, result.ratio, 0


def _confirm(sites: Sequence[Site], budget: int, width: int, measure: Measure, advance: Callable[[int], None]) -> None:
    """Measure the best ways once more, those that save most first; what is not confirmed is given up."""
    hopeful = sorted((site for site in sites if site.best != site.default), key=lambda site: -site.saved)
    for site in hopeful[budget:]:
        site.best, site.ratio = site.default, 1.0
    hopeful = hopeful[:budget]
    for start in range(0, len(hopeful), width):
        group = hopeful[start : start + width]
        results = measure([(site.contraction, site.best) for site in group], {s.contraction: s.default for s in group})
        for site, result in zip(group, results, strict=True):
            if result is None or not result.is_gain:
                site.best, site.ratio = site.default, 1.0
                continue
            site.ratio, site.cost, site.default_cost, site.confirmed = result.ratio, result.cost, result.other, True
        advance(len(group))
