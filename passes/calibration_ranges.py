"""From the statistics of a value to the range that its integers should cover."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from edgec.passes.calibration import Observed

_CANDIDATES = 64
_SMOOTHING = 1e-6


class Method(StrEnum):
    """How the range of a value is chosen."""

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    MSE = "mse"
    ENTROPY = "entropy"


def chosen_range(observed: Observed, method: Method, *, bits: int, percentile: float) -> tuple[float, float]:
    """The range to cover; it holds 0.

    MSE takes the range with the smallest squared error of rounding and cutting; entropy the one whose quantized
    distribution has the least Kullback-Leibler divergence from the observed one (Migacz, 8-bit Inference with TensorRT,
    2017). Both shrink the range from outside in steps, either end in proportion.

    Args:
        observed: with a histogram, unless the method is min-max.
        method: see above.
        bits: of the integers.
        percentile: share of the elements in percent that lie inside, split between both ends.
    """
    low, high = min(observed.low, 0.0), max(observed.high, 0.0)
    if method is Method.MIN_MAX or high <= low or observed.high <= observed.low:
        return low, high
    centres = _centres(observed)
    if method is Method.PERCENTILE:
        cut = (100.0 - percentile) / 200.0
        share = np.cumsum(observed.counts) / observed.counts.sum()
        inner_low = float(centres[int(np.searchsorted(share, cut))])
        inner_high = float(centres[min(int(np.searchsorted(share, 1.0 - cut)), centres.size - 1)])
        return (min(inner_low, 0.0) if low < 0 else 0.0), (max(inner_high, 0.0) if high > 0 else 0.0)
    loss = _squared_error if method is Method.MSE else _divergence
    shrunk = [(low * (1 - step / _CANDIDATES), high * (1 - step / _CANDIDATES)) for step in range(_CANDIDATES * 3 // 4)]
    losses = [loss(observed.counts, centres, ends, 2**bits) for ends in shrunk]
    return shrunk[int(np.argmin(losses))]


def _centres(observed: Observed) -> np.ndarray:
    edges = np.linspace(observed.low, observed.high, observed.counts.size + 1)
    centres: np.ndarray = (edges[:-1] + edges[1:]) / 2
    return centres


def _steps(centres: np.ndarray, ends: tuple[float, float], levels: int) -> tuple[np.ndarray, float]:
    """The integer of each bin, and the real size of a step."""
    low, high = ends
    scale = (high - low) / (levels - 1)
    return np.clip(np.rint((centres - low) / scale), 0, levels - 1), scale


def _squared_error(counts: np.ndarray, centres: np.ndarray, ends: tuple[float, float], levels: int) -> float:
    low, high = ends
    _, scale = _steps(centres, ends, levels)
    cut = np.clip(centres, low, high) - centres
    # Bins are not narrow against a step: inside the range the error of rounding is taken as that of a uniform one.
    rounding = np.where(cut == 0.0, scale**2 / 12.0, 0.0)
    return float(np.sum(counts * (cut**2 + rounding)))


def _divergence(counts: np.ndarray, centres: np.ndarray, ends: tuple[float, float], levels: int) -> float:
    """Kullback-Leibler divergence of the observed from the quantized distribution, both smoothed."""
    steps, _ = _steps(centres, ends, levels)
    index = steps.astype(np.int64)
    inside = (centres >= ends[0]) & (centres <= ends[1])
    # Zeros, as Relu makes them, are exact in any quantizer, and so many that they would decide alone.
    counts = np.where(np.arange(counts.size) == int(np.argmin(np.abs(centres))), 0, counts)
    observed = counts.astype(np.float64)
    # What is cut lands in the outermost bins of the reference, but not in those of the quantized one.
    reference = np.where(inside, observed, 0.0)
    kept = np.flatnonzero(inside & (counts > 0))
    if kept.size == 0:
        return float("inf")
    reference[kept[0]] += observed[: kept[0]].sum()
    reference[kept[-1]] += observed[kept[-1] + 1 :].sum()
    occupied = inside & (counts > 0)
    totals = np.bincount(index[occupied], weights=observed[occupied], minlength=levels)
    members = np.bincount(index[occupied], minlength=levels)
    spread = np.where(occupied, totals[index] / np.maximum(members[index], 1), 0.0)
    p, q = reference / reference.sum() + _SMOOTHING, spread / spread.sum() + _SMOOTHING
    return float(np.sum(p * np.log(p / q)))
