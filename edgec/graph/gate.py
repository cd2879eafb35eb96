"""The gate between two passes: the model before and after, run in ONNX Runtime on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.codes.model import INPUTS_UNKNOWN, REFERENCE_RUN
from edgec.core.codes.passes import PASS_CHANGED_OUTPUTS
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity
from edgec.core.passes import Kind, Pass
from edgec.core.pipeline import Verdict
from edgec.core.tensor import Sample
from edgec.graph.fidelity import compare
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import model_inputs

EXACT_TOLERANCE = 1e-5
"""Largest error, relative to the range of the output, that an exact pass may make in float32: it may reorder sums."""

HALF_TOLERANCE = 1e-2
"""The same for models that compute in float16 or bfloat16, whose unit of rounding is 2^-11 or 2^-8."""

ROUNDING_TOLERANCE = 2e-2
"""The same for models that round inside (QuantizeLinear): a difference of 1e-7 before may flip a whole step after."""


@dataclass(frozen=True)
class _Run:
    """Outputs of a model; holds the model, so that its identity stays taken."""

    model: ir.Model
    samples: Sequence[Sample]
    outputs: list[Mapping[str, np.ndarray]]


class ReferenceGate:
    """Runs every model once: the outputs after one pass are those before the next.

    Args:
        count: number of made-up samples.
        seed: seed of the samples.
        samples: real samples to use instead; they must fit the model's inputs.
    """

    def __init__(self, count: int = 2, seed: int = 0, samples: Sequence[Sample] = ()) -> None:
        self._count = count
        self._seed = seed
        self._given = tuple(samples)
        self._last: _Run | None = None

    def check(self, step: Pass, before: ir.Model, after: ir.Model) -> Verdict:
        """Compare the outputs before and after a pass.

        Exact passes must agree to the tolerances of this module, binary-exact ones bit for bit; what lossy and trained
        ones lose is measured.

        Raises:
            EdgecError: EC0307 where they do not agree, or where the model ran before the pass and does not after.
        """
        try:
            samples = self._samples(before, after)
            expected = self._outputs(before, samples)
        except EdgecError as error:
            if error.code not in (INPUTS_UNKNOWN, REFERENCE_RUN):
                raise
            self._last = None
            return Verdict(None, f"not run: {error.what}")
        try:
            got = self._outputs(after, samples)
        except EdgecError as error:
            what = f"after `{step.name}` the model does not run any more: {error.what}"
            raise _shut(step, what) from error
        if step.adds_outputs:
            got = [{name: made[name] for name in made if name in had} for made, had in zip(got, expected, strict=True)]
        fidelity = _compare(step, expected, got)
        _judge(step, fidelity, tolerance(before))
        return Verdict(fidelity, "passed")

    def _samples(self, before: ir.Model, after: ir.Model) -> Sequence[Sample]:
        """Samples that fit both models; open dimensions before the pass are taken from the model after it."""
        if self._given:
            return self._given
        if self._last is not None and self._last.model is before and all(_fits(after, s) for s in self._last.samples):
            return self._last.samples
        return sample_inputs(after, self._count, self._seed, batch=1)

    def _outputs(self, model: ir.Model, samples: Sequence[Sample]) -> list[Mapping[str, np.ndarray]]:
        if self._last is None or self._last.model is not model or self._last.samples is not samples:
            session = ReferenceSession(model)
            self._last = _Run(model, samples, [session.run(sample) for sample in samples])
        return self._last.outputs


def tolerance(model: ir.Model) -> float:
    """Largest relative error that an exact pass may make in this model."""
    nodes = [node for graph in model.graphs() for node in graph]
    if any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in nodes):
        return ROUNDING_TOLERANCE
    halves = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    if any(output.dtype in halves for node in nodes for output in node.outputs):
        return HALF_TOLERANCE
    return EXACT_TOLERANCE


def _fits(model: ir.Model, sample: Sample) -> bool:
    inputs = {str(value.name): value for value in model_inputs(model)}
    return inputs.keys() == sample.keys() and all(
        _admits(value, sample[name].shape) and value.dtype == ir.DataType.from_numpy(sample[name].dtype)
        for name, value in inputs.items()
    )


def _admits(value: ir.Value, shape: tuple[int, ...]) -> bool:
    """Whether an input takes an array of a shape: open dimensions take any extent."""
    if value.shape is None:
        return True
    pairs = zip(value.shape, shape, strict=False)
    return len(value.shape) == len(shape) and all(not isinstance(own, int) or own == given for own, given in pairs)


def _compare(
    step: Pass, expected: Sequence[Mapping[str, np.ndarray]], got: Sequence[Mapping[str, np.ndarray]]
) -> Fidelity:
    try:
        return compare(expected, got)
    except EdgecError as error:
        raise _shut(step, f"`{step.name}` changed the outputs of the model: {error.what}") from error


def _judge(step: Pass, fidelity: Fidelity, allowed: float) -> None:
    if step.kind is Kind.BINARY_EXACT and not fidelity.bit_exact:
        raise _shut(step, f"`{step.name}` promises equal bits; the outputs differ by {fidelity.max_abs_error:.3g}")
    if step.kind is Kind.EXACT and fidelity.max_relative_error > allowed:
        error = fidelity.max_relative_error
        raise _shut(step, f"`{step.name}` is exact; the outputs differ by {error:.3g} of their range (> {allowed:g})")


def _shut(step: Pass, what: str) -> EdgecError:
    hint = "leave the pass out of the recipe, and report this with the model to the author of the pass"
    return EdgecError(PASS_CHANGED_OUTPUTS, what, where=f"pass {step.name}", hint=hint)
