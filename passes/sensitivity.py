"""How much the outputs of a network suffer from the quantization of one layer, or of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.fidelity import Fidelity
from edgec.core.progress import Progress
from edgec.core.tensor import Sample
from edgec.graph.fidelity import compare
from edgec.graph.quantization import QuantizationPlan
from edgec.graph.quantization_writer import write_quantization
from edgec.graph.reference import run_reference

Planner = Callable[[Sequence[str]], QuantizationPlan]
"""The plan that quantizes the layers of the given names."""


class Judge:
    """Compares quantized variants of a network with the network itself.

    Args:
        model: the network.
        planner: makes the variants.
        samples: inputs to compare on.
    """

    def __init__(self, model: ir.Model, planner: Planner, samples: Sequence[Sample]) -> None:
        self._model = model
        self._planner = planner
        self._samples = list(samples)
        self._expected: list[Mapping[str, np.ndarray]] = run_reference(model, self._samples)

    def fidelity(self, layers: Sequence[str], count: int | None = None) -> Fidelity:
        """Outputs with some layers quantized against those without, on the first `count` samples."""
        samples, expected = self._samples[:count], self._expected[:count]
        variant = write_quantization(self._model.clone(), self._planner(layers))
        return compare(expected, run_reference(variant, samples))


def sensitivities(judge: Judge, layers: Sequence[str], count: int, progress: Progress) -> dict[str, float]:
    """Signal to noise ratio of the outputs in decibels if only one layer is quantized, for each layer.

    A layer whose quantization changes nothing has infinity.
    """
    progress.start("sensitivity of layers", total=len(layers))
    found = {}
    for name in layers:
        noise = judge.fidelity([name], count).snr_db
        found[name] = float("inf") if noise is None else noise
        progress.advance()
    return found


def layers_within_budget(
    judge: Judge, ranked: Sequence[str], acceptable: Callable[[Fidelity], bool]
) -> tuple[tuple[str, ...], Fidelity | None]:
    """The layers that may be quantized so that the outputs stay acceptable, and the outputs' fidelity then.

    As few as possible of the first, the most sensitive, are left out; by bisection, as if leaving out more never hurt.

    Args:
        judge: compares.
        ranked: the layers, the most sensitive first.
        acceptable: whether outputs are good enough.

    Returns:
        The layers in the order given. None with no layer: then nothing was compared.
    """
    whole = judge.fidelity(ranked) if ranked else None
    if whole is None or acceptable(whole):
        return tuple(ranked), whole
    bad, good, fidelity = 0, len(ranked), None
    while good - bad > 1:
        middle = (bad + good) // 2
        tried = judge.fidelity(ranked[middle:])
        if acceptable(tried):
            good, fidelity = middle, tried
        else:
            bad = middle
    return tuple(ranked[good:]), fidelity
