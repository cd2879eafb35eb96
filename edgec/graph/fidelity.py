"""Measures how close one set of outputs is to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgec.core.codes.model import OUTPUTS_DIFFER
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity

Outputs = Mapping[str, np.ndarray]
"""One set of outputs of a model by name."""

WORST = float(np.finfo(np.float64).max)
"""Stands for an infinite error (NaN or infinity on one side only): JSON has no infinity."""


def compare(reference: Sequence[Outputs], candidate: Sequence[Outputs]) -> Fidelity:
    """Compare outputs sample by sample.

    Equal infinities and NaN on both sides count as no error. NaN or infinity on one side only, and infinities of
    different sign, are an error of `WORST`. The relative error of an output divides by the range (max − min) of its
    finite reference values over all samples; where that range is zero, by their largest magnitude, and where that is
    zero too, by 1. Integers and booleans are compared as numbers.

    Args:
        reference: outputs of each sample.
        candidate: outputs of the same samples; may be in another order of names, not of samples.

    Returns:
        The largest errors over all outputs and samples, the signal to noise ratio over all elements, and the share of
        output rows (last axis) with an equal arg-max.

    Raises:
        EdgecError: EC0210 where number of samples, names or shapes differ.
    """
    _check_comparable(reference, candidate)
    names = list(reference[0]) if reference else []
    # Squares of the largest doubles overflow; the sums are clamped to `WORST`.
    with np.errstate(over="ignore"):
        tallies = [_Tally.of([s[name] for s in reference], [s[name] for s in candidate]) for name in names]
    signal, noise = sum(t.signal for t in tallies), sum(t.noise for t in tallies)
    return Fidelity(
        samples=len(reference),
        bit_exact=all(t.bit_exact for t in tallies),
        max_abs_error=max((t.error for t in tallies), default=0.0),
        max_relative_error=max((t.relative_error for t in tallies), default=0.0),
        snr_db=_decibels(signal, noise),
        agreement=_agreement(reference, candidate),
    )


class _Tally:
    """Errors of one output over all samples."""

    def __init__(self, bit_exact: bool, error: float, relative_error: float, signal: float, noise: float) -> None:
        self.bit_exact = bit_exact
        self.error = error
        self.relative_error = relative_error
        self.signal = signal
        self.noise = noise

    @classmethod
    def of(cls, reference: Sequence[np.ndarray], candidate: Sequence[np.ndarray]) -> _Tally:
        """Compare all samples of one output."""
        bit_exact = all(_bit_equal(a, b) for a, b in zip(reference, candidate, strict=True))
        pairs = [(_as_double(a), _as_double(b)) for a, b in zip(reference, candidate, strict=True)]
        error = max((_largest_error(a, b) for a, b in pairs), default=0.0)
        finite = np.concatenate([a[np.isfinite(a)] for a, _ in pairs]) if pairs else np.zeros(0)
        scale = _scale(finite)
        relative = min(error / scale, WORST) if error < WORST else WORST
        both = [(a[mask], b[mask]) for a, b in pairs for mask in [np.isfinite(a) & np.isfinite(b)]]
        # NaN or infinity on one side only has no power of noise; it already shows as WORST.
        noise = math.inf if error >= WORST else sum(float(np.sum((a - b) ** 2)) for a, b in both)
        return cls(bit_exact, error, relative, float(np.sum(finite**2)), noise)


def _bit_equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype != b.dtype:
        return False
    if a.dtype.kind == "f":
        # −0 differs from +0 bit for bit, any NaN equals any other.
        raw = a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}") if a.ndim else np.asarray(a.tobytes() == b.tobytes())
        return bool(np.all(raw | (np.isnan(a) & np.isnan(b))))
    return a.tobytes() == b.tobytes()


def _as_double(array: np.ndarray) -> np.ndarray:
    return np.atleast_1d(np.asarray(array)).astype(np.float64)


def _largest_error(a: np.ndarray, b: np.ndarray) -> float:
    if a.size == 0:
        return 0.0
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    both = np.isfinite(a) & np.isfinite(b)
    if np.any(~both & ~same):
        return WORST
    return min(float(np.max(np.abs(a[both] - b[both]), initial=0.0)), WORST)


def _scale(finite: np.ndarray) -> float:
    if finite.size == 0:
        return 1.0
    spread = min(float(np.ptp(finite)), WORST)
    return spread or float(np.max(np.abs(finite))) or 1.0


def _decibels(signal: float, noise: float) -> float | None:
    if noise == 0.0:
        return None
    if not math.isfinite(noise) or signal == 0.0:
        return -WORST
    return 10.0 * (math.log10(min(signal, WORST)) - math.log10(noise))


def _agreement(reference: Sequence[Outputs], candidate: Sequence[Outputs]) -> float:
    equal = total = 0
    for expected, got in zip(reference, candidate, strict=True):
        for name, array in expected.items():
            if array.ndim == 0 or array.shape[-1] < 2 or array.size == 0:
                continue
            rows = np.argmax(array, axis=-1) == np.argmax(got[name], axis=-1)
            equal, total = equal + int(np.sum(rows)), total + rows.size
    return equal / total if total else 1.0


def _check_comparable(reference: Sequence[Outputs], candidate: Sequence[Outputs]) -> None:
    problem = ""
    if len(reference) != len(candidate):
        problem = f"{len(reference)} reference samples against {len(candidate)}"
    for expected, got in zip(reference, candidate, strict=False):
        if set(expected) != set(got):
            problem = problem or f"outputs {sorted(expected)} against {sorted(got)}"
        for name in expected.keys() & got.keys():
            if expected[name].shape != got[name].shape:
                problem = problem or f"output `{name}` is {expected[name].shape} against {got[name].shape}"
    if problem:
        raise EdgecError(OUTPUTS_DIFFER, problem, hint="this is a fault in edgec or in a pass; please report it")
