"""The data of a build: inputs to check and time with, and what the passes did to the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.data import DataSource, LabelledSample, load_data
from edgec.core.metric import Metric, Unavailable
from edgec.core.progress import Progress
from edgec.core.tensor import Sample, TensorSpec
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import model_inputs, static_shape
from edgec.measure.audit import (
    Outcome,
    accuracies,
    along_one_axis,
    audit_answers,
    audit_errors,
    outcome,
    ranks_classes,
    sample_error,
)
from edgec.measure.audit_records import AnswerAudit, ErrorAudit, SampleError
from edgec.measure.thumbnail import thumbnail

_CHECKED_SAMPLES = 2
"""Samples that every pass and the artefact are checked on."""


@dataclass(frozen=True)
class Comparison:
    """The model as it was given and the one after the passes, on the evaluation samples.

    Attributes:
        accuracy: `accuracy_original` and `accuracy`, by the arg-max of the models' first output.
        audit: class by class and sample by sample; None where nothing was to be audited.
    """

    accuracy: Mapping[str, Metric]
    audit: AnswerAudit | ErrorAudit | None


class Evaluation:
    """The data of one build.

    Args:
        source: what `--data` names; None to work on made-up inputs.
        model: the model with static inputs.
        seed: of the made-up inputs.
    """

    def __init__(self, source: DataSource | None, model: ir.Model, seed: int) -> None:
        self.source = source
        self.samples: tuple[Sample, ...] = (
            tuple(sample_inputs(model, _CHECKED_SAMPLES, seed)) if source is None else _first(source)
        )

    @property
    def data_sha256(self) -> str | None:
        """Digest of the data; None without data."""
        return self.source.sha256 if self.source is not None else None

    @property
    def calibration(self) -> Sequence[Sample]:
        """Calibration samples; empty without data."""
        return tuple(self.source.calibration()) if self.source is not None else ()

    def compare(self, original: ir.Model, built: ir.Model, progress: Progress, *, audited: bool) -> Comparison:
        """Run both models on the evaluation samples, each sample once.

        The first output is taken for scores of classes where it is a vector and the samples have class labels, and
        where it is one of real numbers and they have no labels at all, which nobody can tell from an embedding.

        Args:
            original: the model as it was given.
            built: the model after the passes.
            progress: is told of every sample.
            audited: whether to audit, too; without it, data without labels are not run.
        """
        samples = _numbered(self.source)
        labelled = any(_is_class(sample.label) for _, sample in samples)
        if labelled:
            samples = [(index, sample) for index, sample in samples if _is_class(sample.label)]
        elif not audited or self.source is None:
            return Comparison(_no_labels(self.source), None)
        progress.start("evaluate", total=len(samples))
        outcomes, errors = _run(original, built, samples, progress)
        source = f"ONNX Runtime on {len(samples)} evaluation samples"
        if not labelled:
            accuracy = _no_labels(self.source)
        elif outcomes:
            accuracy = _accuracies(outcomes, source)
        else:
            accuracy = _missing("the first output does not have one element for each class")
        if not audited:
            return Comparison(accuracy, None)
        by_index = dict(samples)

        def picture_of(index: int) -> str | None:
            return thumbnail(next(iter(by_index[index].inputs.values())))

        if outcomes:
            return Comparison(accuracy, audit_answers(outcomes, picture_of, source))
        return Comparison(accuracy, audit_errors(errors, picture_of))


def evaluate(specification: str | None, model: ir.Model, seed: int) -> Evaluation:
    """The data of a build.

    Args:
        specification: what `--data` says; None to work on made-up inputs.
        model: the model with static inputs.
        seed: of the made-up inputs.

    Raises:
        EdgecError: EC07xx for data that cannot be read or does not fit the model.
    """
    source = load_data(specification, _input_specs(model)) if specification is not None else None
    return Evaluation(source, model, seed)


def _first(source: DataSource) -> tuple[Sample, ...]:
    samples = source.evaluation()
    return tuple(sample.inputs for _, sample in zip(range(_CHECKED_SAMPLES), samples, strict=False))


def _input_specs(model: ir.Model) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=str(value.name), dtype=value.dtype.numpy().name, shape=static_shape(value) or ())
        for value in model_inputs(model)
        if value.dtype is not None
    )


def _is_class(label: np.ndarray | None) -> bool:
    return label is not None and label.size == 1 and np.issubdtype(label.dtype, np.integer)


def _numbered(source: DataSource | None) -> list[tuple[int, LabelledSample]]:
    return list(enumerate(source.evaluation())) if source is not None else []


def _run(
    original: ir.Model, built: ir.Model, samples: Sequence[tuple[int, LabelledSample]], progress: Progress
) -> tuple[list[Outcome], list[SampleError]]:
    """Answers of both models where the first output is scores of classes, and errors of the outputs where not."""
    before, after = ReferenceSession(original), ReferenceSession(built)
    outcomes: list[Outcome] = []
    errors: list[SampleError] = []
    for index, sample in samples:
        expected, got = before.run(sample.inputs), after.run(sample.inputs)
        scores, new_scores = (next(iter(outputs.values())) for outputs in (expected, got))
        # The first sample decides for all: the shape of an output may depend on its input.
        if outcomes or (not errors and _answers(sample.label, scores)):
            label = None if sample.label is None else int(sample.label.item())
            outcomes.append(outcome(index, label, scores, new_scores))
        else:
            errors.append(sample_error(index, expected, got))
        progress.advance()
    return outcomes, errors


def _answers(label: np.ndarray | None, scores: np.ndarray) -> bool:
    """Whether the place of an output's largest element is an answer; targets of a regression say that it is none."""
    return ranks_classes(scores) if label is None else _is_class(label) and along_one_axis(scores)


def _accuracies(outcomes: Sequence[Outcome], source: str) -> dict[str, Metric]:
    before, after = accuracies(outcomes, source)
    return {"accuracy_original": before, "accuracy": after}


def _no_labels(source: DataSource | None) -> dict[str, Metric]:
    return _missing("the data has no class labels" if source else "no labelled data; give some with --data")


def _missing(reason: str) -> dict[str, Metric]:
    missing = Unavailable(unavailable=reason)
    return {"accuracy_original": missing, "accuracy": missing}
