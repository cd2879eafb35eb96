"""What a network computes inside, observed on samples: ranges, histograms, means of channels and second moments.

Samples are run one after another and only statistics are kept, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.tensor import Sample
from edgec.graph.reference import ReferenceSession

BINS = 2048
"""Bins of a histogram: eight for each step of eight bits."""

_COUNTED = 2**15
"""Elements of a value that are counted in each sample, about."""


@dataclass(frozen=True, eq=False)
class Observed:
    """Statistics of one value over all samples.

    Attributes:
        low: smallest element.
        high: largest element.
        counts: elements in each of `BINS` equal bins from `low` to `high`, int64; empty if none were asked for.
        means: mean along each index of the channel axis, float64.
    """

    low: float
    high: float
    counts: np.ndarray
    means: np.ndarray


def run_with_inner_values(
    model: ir.Model, names: Sequence[str], samples: Iterable[Sample], see: Callable[[Mapping[str, np.ndarray]], None]
) -> None:
    """Run a model on each sample and show what it computes for the named values, its inputs included.

    Raises:
        EdgecError: EC0208 where ONNX Runtime cannot run the model.
    """
    probe = model.clone()
    values = {str(value.name): value for node in probe.graph for value in node.outputs}
    given = {str(value.name) for value in probe.graph.inputs}
    outputs = {str(value.name) for value in probe.graph.outputs}
    probe.graph.outputs.extend(values[name] for name in names if name not in outputs | given)
    session = ReferenceSession(probe)
    for sample in samples:
        computed = session.run(sample)
        see({name: sample[name] if name in given else computed[name] for name in names})


def observe(
    model: ir.Model, channel_axes: Mapping[str, int], samples: Sequence[Sample], *, histograms: bool
) -> dict[str, Observed]:
    """Statistics of some values.

    Args:
        model: any that ONNX Runtime runs.
        channel_axes: the values by name, with the axis that their channels lie along.
        samples: run once, or twice where histograms are wanted.
        histograms: whether to count elements in bins.
    """
    extremes = dict.fromkeys(channel_axes, (np.inf, -np.inf))
    sums: dict[str, np.ndarray] = {}

    def see_ranges(values: Mapping[str, np.ndarray]) -> None:
        for name, array in values.items():
            low, high = extremes[name]
            extremes[name] = (min(low, float(array.min())), max(high, float(array.max())))
            axis = channel_axes[name] % max(array.ndim, 1)
            means = array.astype(np.float64).mean(axis=tuple(i for i in range(array.ndim) if i != axis))
            sums[name] = sums.get(name, 0.0) + means

    run_with_inner_values(model, list(channel_axes), samples, see_ranges)
    counts = {name: np.zeros(0, np.int64) for name in channel_axes}
    if histograms:
        counts = {name: np.zeros(BINS, np.int64) for name in channel_axes}

        def see_histograms(values: Mapping[str, np.ndarray]) -> None:
            for name, array in values.items():
                counts[name] += _binned(array, *extremes[name])

        run_with_inner_values(model, list(channel_axes), samples, see_histograms)
    return {name: Observed(*extremes[name], counts[name], sums[name] / len(samples)) for name in channel_axes}


def _binned(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Elements in each bin; of large arrays every so manieth element."""
    elements = array.reshape(-1)[:: max(1, array.size // _COUNTED)]
    width = (high - low) / BINS or 1.0
    places = np.clip((elements - low) / width, 0, BINS - 1).astype(np.int64)
    return np.bincount(places, minlength=BINS)
