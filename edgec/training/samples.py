"""Samples as tensors, checked before training starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgec.core.codes.training import BAD_LABEL, LABELS_MISSING, TOO_FEW_SAMPLES
from edgec.core.data import DataSource, LabelledSample
from edgec.core.errors import EdgecError
from edgec.training.options import FitOptions, Loss


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """All samples to train on.

    Attributes:
        inputs: for each input of the model a tensor [samples, *shape of the input].
        labels: int64 [samples]; None where the network learns from its own outputs.
        sha256: digest of the data that they came from.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    sha256: str

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.inputs[0].shape[0])


def read_samples(data: DataSource, model: ir.Model, options: FitOptions) -> TrainingSamples:
    """Read the training split.

    Raises:
        EdgecError: EC1002 where labels are asked for and missing, EC1003 for labels that are no classes of the first
            output, EC1004 for fewer samples than one batch, EC07xx for values that do not fit the model.
    """
    samples = list(data.train())
    if len(samples) < options.batch:
        what = f"{len(samples)} samples, and a step takes {options.batch}"
        raise EdgecError(TOO_FEW_SAMPLES, what, where=data.specification, hint=TOO_FEW_SAMPLES.remedy)
    names = [str(value.name) for value in model.graph.inputs if value.name not in model.graph.initializers]
    arrays = [np.stack([sample.inputs[name] for sample in samples]) for name in names]
    labels = _labels(samples, _classes(model), options.loss, data.specification)
    return TrainingSamples(
        tuple(torch.from_numpy(array) for array in arrays),
        None if labels is None else torch.from_numpy(labels),
        data.sha256,
    )


def _classes(model: ir.Model) -> int | None:
    """The number of classes: the elements of the first output for one sample; None where that is open."""
    shape = model.graph.outputs[0].shape
    extents = list(shape)[1:] if shape is not None else [None]
    known = [extent for extent in extents if isinstance(extent, int)]
    return math.prod(known) if len(known) == len(extents) else None


def _labels(samples: list[LabelledSample], classes: int | None, loss: Loss, where: str) -> np.ndarray | None:
    if loss is Loss.DISTILLATION:
        return None
    missing = sum(sample.label is None for sample in samples)
    if missing == len(samples) and loss is Loss.AUTO:
        return None
    if missing:
        what = f"{missing} of {len(samples)} training samples have no label"
        raise EdgecError(LABELS_MISSING, what, where=where, hint=LABELS_MISSING.remedy)
    labels = np.stack([np.asarray(sample.label) for sample in samples])
    if labels.dtype.kind not in "iu" or labels[0].size != 1:
        what = f"labels are {labels.dtype.name} of shape {list(labels.shape[1:])}, not one whole number a sample"
        hint = "one-hot labels become numbers by y.argmax(1)" if labels[0].size == classes else BAD_LABEL.remedy
        raise EdgecError(BAD_LABEL, what, where=where, hint=hint)
    labels = labels.reshape(-1).astype(np.int64)
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        known = "unknown classes" if classes is None else f"the classes 0 to {classes - 1}"
        what = f"labels go from {labels.min()} to {labels.max()}, and the network has {known}"
        from_one = labels.min() == 1 and labels.max() == classes
        raise EdgecError(BAD_LABEL, what, where=where, hint="begin at 0: y - 1" if from_one else BAD_LABEL.remedy)
    return labels
