"""Runs passes one after another; does for each what is common: needs, copy, time, errors, gate, trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import onnx_ir as ir

from edgec.core.codes.passes import PASS_FAILED, PASS_NEEDS_DATA
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity
from edgec.core.passes import Kind, Need, Pass, PassContext, PassResult
from edgec.core.trace import ModelSize, PassRecord, SkippedNode

KeepStep = Callable[[int, str, ir.Model], None]
"""Receives the number of the step (from 1), the name of the pass and the model after it."""


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one pass.

    Attributes:
        fidelity: the outputs after against before; None where they could not be compared.
        reason: `passed`, or why nothing was compared.
    """

    fidelity: Fidelity | None
    reason: str


class Gate(Protocol):
    """Compares the model before a pass with the model after it."""

    def check(self, step: Pass, before: ir.Model, after: ir.Model) -> Verdict:
        """Run both on the same inputs.

        Raises:
            EdgecError: EC0307 where the outputs differ by more than the kind of the pass allows.
        """


class OpenGate:
    """Lets every pass through without a look, and says so."""

    def check(self, step: Pass, before: ir.Model, after: ir.Model) -> Verdict:
        """Compare nothing."""
        return Verdict(None, "not asked for")


@dataclass(frozen=True)
class PipelineResult:
    """The model after all passes, and the record of each."""

    model: ir.Model
    records: tuple[PassRecord, ...]


class Pipeline:
    """A list of passes with its gate.

    Args:
        passes: in the order in which they run.
        gate: compares the model before and after each pass that changed it.
        size_of: counts multiply-accumulates, parameters and bytes of a model.
    """

    def __init__(self, passes: Sequence[Pass], gate: Gate, size_of: Callable[[ir.Model], ModelSize]) -> None:
        self._passes = tuple(passes)
        self._gate = gate
        self._size_of = size_of

    def run(self, model: ir.Model, context: PassContext, *, keep_step: KeepStep | None = None) -> PipelineResult:
        """Run all passes; the model that is handed in stays as it is.

        Raises:
            EdgecError: EC0305 before any work where data are missing, EC0306 where a pass stops with an exception of
                its own, EC0307 where the gate shuts, and whatever a pass refuses a model with.
        """
        self._check_needs(context)
        records: list[PassRecord] = []
        size = self._size_of(model)
        for number, step in enumerate(self._passes, start=1):
            context.progress.start(step.name)
            before = model
            model, record = self._run_step(step, before, size, context, [done.name for done in records])
            if context.original is None and record.modified and step.kind in {Kind.LOSSY, Kind.TRAINED}:
                context = replace(context, original=before)
            records.append(record)
            size = record.after
            if keep_step is not None:
                keep_step(number, step.name, model)
        return PipelineResult(model, tuple(records))

    def _check_needs(self, context: PassContext) -> None:
        given = {Need.CALIBRATION} if _has_any(context) else set()
        if context.data is not None:
            given |= {Need.TRAINING, Need.EVALUATION}
        missing = [(step.name, need) for step in self._passes for need in step.needs if need not in given]
        if missing:
            listed = ", ".join(f"`{name}` needs {need} data" for name, need in missing)
            hint = "give data with --data, or leave the pass out of the recipe"
            raise EdgecError(PASS_NEEDS_DATA, listed, where=f"pass {missing[0][0]}", hint=hint)

    def _run_step(
        self, step: Pass, before: ir.Model, size: ModelSize, context: PassContext, done: Sequence[str]
    ) -> tuple[ir.Model, PassRecord]:
        # The copy shares its tensors with the original: it costs nodes and values, not weights.
        working = before.clone()
        started = time.perf_counter()
        result = _guarded(step, working, context, done)
        seconds = time.perf_counter() - started
        if result.modified:
            verdict = self._gate.check(step, before, result.model)
            after = self._size_of(result.model)
        else:
            verdict, after = Verdict(None, "unchanged"), size
        record = PassRecord(
            name=step.name,
            kind=step.kind,
            seconds=seconds,
            options=step.options.model_dump(mode="json"),
            modified=result.modified,
            before=size,
            after=after,
            fidelity=verdict.fidelity,
            gate=verdict.reason,
            stats=dict(result.stats),
            skipped=tuple(SkippedNode(node=skip.node, reason=skip.reason) for skip in result.skipped),
            assumptions=result.assumptions,
        )
        return (result.model if result.modified else before), record


def _has_any(context: PassContext) -> bool:
    """Whether there are calibration samples; an iterator without a length counts, since looking would consume it."""
    samples = context.calibration
    return bool(samples) if hasattr(samples, "__len__") else True


def _guarded(step: Pass, model: ir.Model, context: PassContext, done: Sequence[str]) -> PassResult:
    try:
        return step.run(model, context)
    except EdgecError:
        raise
    # A pass may come from anybody and raise anything: this is the border where its faults get a name.
    except Exception as error:
        before = f"after {', '.join(done)}" if done else "as the first pass"
        what = f"the pass `{step.name}` ({before}) stopped with {type(error).__name__}: {error}"
        hint = "leave the pass out of the recipe, and report this with the model to the author of the pass"
        raise EdgecError(PASS_FAILED, what, where=f"pass {step.name}", hint=hint) from error
