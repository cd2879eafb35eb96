"""Data for calibration, training and evaluation: what `--data` names, as samples that fit the model.

Without a say in the data itself, samples are split by their index: every fifth is for evaluation, the others are for
training, and calibration takes up to 256 of those, evenly spaced. The split does not depend on a seed, so results of
different runs compare.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np

from edgec.core.array_file import ArrayFile
from edgec.core.codes.data import BAD_SPEC, DOES_NOT_FIT, EMPTY_SPLIT
from edgec.core.data_fit import LABELS, check_finite, match_names, sample_count, sample_of
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample, TensorSpec

_EVALUATION_EVERY = 5
_MOST_CALIBRATION_SAMPLES = 256
_CHUNK = 2**20


class Split(StrEnum):
    """What samples are used for; also the prefix of array names that belong to it."""

    CALIBRATION = "calibration"
    TRAIN = "train"
    EVALUATION = "evaluation"


@dataclass(frozen=True)
class LabelledSample:
    """One set of inputs of the model by name, and its label; None where the data has none."""

    inputs: Sample
    label: np.ndarray | None


class DataSource(ABC):
    """Samples that fit the inputs of one model.

    Args:
        specification: what `--data` says, for messages.
        inputs: the model's inputs.
    """

    def __init__(self, specification: str, inputs: tuple[TensorSpec, ...]) -> None:
        self.specification = specification
        self.inputs = inputs

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Digest of the content: equal data have equal digests, wherever they are."""

    @abstractmethod
    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        """The samples of a split, unchecked values."""

    def calibration(self) -> Iterator[Sample]:
        """Inputs to observe activations on; never those of `evaluation`."""
        return (sample.inputs for sample in self._checked(Split.CALIBRATION))

    def train(self) -> Iterator[LabelledSample]:
        """Samples to train on."""
        return self._checked(Split.TRAIN)

    def evaluation(self) -> Iterator[LabelledSample]:
        """Samples to measure accuracy on."""
        return self._checked(Split.EVALUATION)

    def _checked(self, split: Split) -> Iterator[LabelledSample]:
        """The samples of a split after a look at their values.

        Raises:
            EdgecError: EC0705 for NaN or infinity, EC0708 if there is no sample.
        """
        number = 0
        for sample in self._samples(split):
            check_finite(sample.inputs, f"{self.specification}, {split.value} sample {number}")
            yield sample
            number += 1
        if not number:
            raise EdgecError(
                EMPTY_SPLIT, f"no sample for {split.value}", where=self.specification, hint=EMPTY_SPLIT.remedy
            )


def load_data(specification: str, inputs: tuple[TensorSpec, ...]) -> DataSource:
    """The data that a specification names: a `.npz` file, a folder of images by class, or `module:function`.

    Raises:
        EdgecError: EC0701 for anything else; EC0702 to EC0707 as the kind of data says.
    """
    path = Path(specification.partition("?")[0])
    if path.is_dir():
        from edgec.core.data_images import ImageData

        return ImageData(specification, inputs)
    if path.suffix == ".npz" and path.is_file():
        return ArrayData(path, inputs)
    if ":" in specification and "/" not in specification:
        from edgec.core.data_function import FunctionData

        return FunctionData(specification, inputs)
    what = "this is no .npz file" if path.exists() else "there is no such file or folder"
    raise EdgecError(BAD_SPEC, what, where=f"--data {specification}", hint=BAD_SPEC.explanation)


def is_for_evaluation(index: int) -> bool:
    """Whether the sample of an index is for evaluation, where the data does not say."""
    return index % _EVALUATION_EVERY == _EVALUATION_EVERY - 1


def split_indices(count: int, split: Split) -> Sequence[int]:
    """Which of `count` samples belong to a split, where the data does not say; see the module's docstring."""
    chosen = [index for index in range(count) if is_for_evaluation(index) == (split is Split.EVALUATION)]
    return evenly_spaced(chosen) if split is Split.CALIBRATION else chosen


def evenly_spaced(indices: Sequence[int]) -> Sequence[int]:
    """At most 256 of the indices, evenly spaced, so that data sorted by class gives every class its share."""
    count = min(len(indices), _MOST_CALIBRATION_SAMPLES)
    return [indices[position * len(indices) // count] for position in range(count)]


@dataclass(frozen=True)
class _Group:
    """The arrays of one prefix: array name of each input, of the labels, and the number of samples."""

    arrays: dict[str, str]
    labels: str | None
    count: int


class ArrayData(DataSource):
    """A `.npz` file with arrays `x` and `y`, or named as the model's inputs, perhaps with a prefix `train/`.

    Raises:
        EdgecError: EC0702 to EC0705.
    """

    def __init__(self, path: Path, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(str(path), inputs)
        self._file = ArrayFile(path)
        prefixed = [split for split in Split if any(name.startswith(f"{split}/") for name in self._file.headers)]
        if prefixed:
            self._refuse_unprefixed(tuple(prefixed))
        self._groups = {split: self._group(f"{split}/") for split in prefixed}
        self._whole = None if prefixed else self._group("")

    @cached_property
    def sha256(self) -> str:
        """Digest of the file."""
        digest = hashlib.sha256()
        with self._file.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def _refuse_unprefixed(self, prefixed: tuple[Split, ...]) -> None:
        for name in self._file.headers:
            if not any(name.startswith(f"{split}/") for split in prefixed):
                raise EdgecError(
                    DOES_NOT_FIT,
                    f"the array {name} has no prefix, others have",
                    where=self.specification,
                    hint="begin every name with calibration/, train/ or evaluation/, or none",
                )

    def _group(self, prefix: str) -> _Group:
        headers = {name.removeprefix(prefix): name for name in self._file.headers if name.startswith(prefix)}
        found = match_names(tuple(headers), self.inputs, self.specification)
        counts = {
            tensor.name: sample_count(self._file.headers[headers[found[tensor.name]]], tensor, self.specification)
            for tensor in self.inputs
        }
        is_label = LABELS in headers and LABELS not in found.values()
        if is_label:
            shape = self._file.headers[headers[LABELS]].shape
            counts[LABELS] = shape[0] if shape else 0
        if len(set(counts.values())) > 1:
            raise EdgecError(
                DOES_NOT_FIT,
                "the arrays hold different numbers of samples",
                where=self.specification,
                hint="every array needs one entry for each sample",
                details=tuple(f"{prefix}{name}: {count}" for name, count in counts.items()),
            )
        arrays = {name: headers[given] for name, given in found.items()}
        return _Group(arrays, headers[LABELS] if is_label else None, next(iter(counts.values()), 0))

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        group, indices = self._chosen(split)
        arrays = {name: self._file.read(given) for name, given in group.arrays.items()} if indices else {}
        labels = self._file.read(group.labels) if group.labels and indices else None
        for index in indices:
            inputs = {tensor.name: sample_of(arrays[tensor.name], tensor, index) for tensor in self.inputs}
            yield LabelledSample(inputs, None if labels is None else labels[index])

    def _chosen(self, split: Split) -> tuple[_Group, Sequence[int]]:
        """The group that holds a split, and which of its samples; calibration may be taken from `train/`."""
        if self._whole is not None:
            return self._whole, split_indices(self._whole.count, split)
        if split in self._groups:
            return self._groups[split], range(self._groups[split].count)
        if split is Split.CALIBRATION and Split.TRAIN in self._groups:
            group = self._groups[Split.TRAIN]
            return group, evenly_spaced(range(group.count))
        return _Group({}, None, 0), ()
