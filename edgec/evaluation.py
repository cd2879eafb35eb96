"""The data of a build: inputs to check and time with, and the accuracy before and after the passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.data import DataSource, LabelledSample, load_data
from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.core.progress import Progress
from edgec.core.tensor import Sample, TensorSpec
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import model_inputs, static_shape

_CHECKED_SAMPLES = 2
"""Samples that every pass and the artefact are checked on."""

_NORMAL_95 = 1.96


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

    def accuracy(self, original: ir.Model, built: ir.Model, progress: Progress) -> dict[str, Metric]:
        """`accuracy_original` and `accuracy` on the evaluation samples, by the arg-max of the models' first output."""
        labelled = list(self.source.evaluation()) if self.source is not None else []
        labelled = [sample for sample in labelled if _is_class(sample.label)]
        if not labelled:
            reason = "the data has no class labels" if self.source else "no labelled data; give some with --data"
            missing = Unavailable(unavailable=reason)
            return {"accuracy_original": missing, "accuracy": missing}
        progress.start("evaluate", total=2 * len(labelled))
        before, after = (_accuracy(model, labelled, progress) for model in (original, built))
        return {"accuracy_original": before, "accuracy": after}


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


def _accuracy(model: ir.Model, samples: Sequence[LabelledSample], progress: Progress) -> Value:
    """Share of samples whose arg-max is their label, with its 95 % interval (normal approximation)."""
    session = ReferenceSession(model)
    right = 0
    for sample in samples:
        scores = next(iter(session.run(sample.inputs).values()))
        right += int(np.argmax(scores) == np.asarray(sample.label).item())
        progress.advance()
    share = right / len(samples)
    margin = _NORMAL_95 * float(np.sqrt(share * (1 - share) / len(samples)))
    return Value(
        value=share,
        low=max(0.0, share - margin),
        high=min(1.0, share + margin),
        mode=Mode.MEASURED,
        source=f"ONNX Runtime on {len(samples)} evaluation samples",
    )
