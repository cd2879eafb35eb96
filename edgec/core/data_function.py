"""Data from a function of the user's: `module:function` yields `(inputs, labels)`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from edgec.core.codes.data import FUNCTION_FAILED
from edgec.core.data import DataSource, LabelledSample, Split, is_for_evaluation, split_indices
from edgec.core.data_fit import SINGLE_INPUT, ArrayHeader, match_names, sample_count, sample_of
from edgec.core.errors import EdgecError
from edgec.core.tensor import TensorSpec


class FunctionData(DataSource):
    """Samples that a function yields, each time anew.

    The function yields pairs `(inputs, labels)`: `inputs` is an array, or arrays by input name, with one entry for
    each sample; `labels` has as many entries, or is None. If it takes a parameter `split`, it is called with
    `calibration`, `train` or `evaluation`; otherwise its samples are split by their index.

    Raises:
        EdgecError: EC0707 if the function cannot be imported.
    """

    def __init__(self, specification: str, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(specification, inputs)
        self._function = self._imported()
        self._takes_split = "split" in inspect.signature(self._function).parameters

    @cached_property
    def sha256(self) -> str:
        """Digest of every sample that the function yields; calls it once for each split."""
        digest = hashlib.sha256()
        for split in Split if self._takes_split else (None,):
            for sample in self._all(split):
                for name, array in sorted(sample.inputs.items()):
                    digest.update(f"{split}\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
                    digest.update(array.tobytes())
                if sample.label is not None:
                    digest.update(np.ascontiguousarray(sample.label).tobytes())
        return digest.hexdigest()

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        if self._takes_split:
            yield from self._all(split)
            return
        if split is Split.CALIBRATION:
            chosen = set(split_indices(sum(1 for _ in self._all(None)), split))
            yield from (sample for index, sample in enumerate(self._all(None)) if index in chosen)
        else:
            wanted = split is Split.EVALUATION
            yield from (sample for index, sample in enumerate(self._all(None)) if is_for_evaluation(index) == wanted)

    def _imported(self) -> Callable[..., Iterable[object]]:
        module_name, _, name = self.specification.partition(":")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            function = getattr(importlib.import_module(module_name), name)
        # Any module of the user's is imported here, and it may raise anything.
        except Exception as problem:
            raise self._failed(f"{type(problem).__name__}: {problem}") from problem
        if not callable(function):
            raise self._failed(f"{name} is no function")
        checked: Callable[..., Iterable[object]] = function
        return checked

    def _all(self, split: Split | None) -> Iterator[LabelledSample]:
        """Every sample of one call of the function."""
        for number, item in enumerate(self._items(split)):
            if not isinstance(item, tuple) or len(item) != 2:
                raise self._failed(f"item {number} is {type(item).__name__}, not a pair (inputs, labels)")
            yield from self._of_item(item[0], item[1], f"{self.specification}, item {number}")

    def _items(self, split: Split | None) -> Iterator[object]:
        try:
            yield from self._function() if split is None else self._function(split=split.value)
        except EdgecError:
            raise
        # The user's function may raise anything.
        except Exception as problem:
            raise self._failed(f"{type(problem).__name__}: {problem}") from problem

    def _of_item(self, inputs: object, labels: object, where: str) -> Iterator[LabelledSample]:
        given = inputs if isinstance(inputs, Mapping) else {SINGLE_INPUT: inputs}
        arrays = {str(name): np.asarray(array) for name, array in given.items()}
        names = match_names(tuple(arrays), self.inputs, where)
        found = {tensor.name: arrays[names[tensor.name]] for tensor in self.inputs}
        counts = {
            sample_count(ArrayHeader(found[tensor.name].dtype, found[tensor.name].shape), tensor, where)
            for tensor in self.inputs
        }
        label_array = None if labels is None else np.atleast_1d(np.asarray(labels))
        if label_array is not None:
            counts.add(len(label_array))
        if len(counts) != 1:
            raise self._failed(f"{where}: inputs and labels hold different numbers of samples")
        for index in range(counts.pop()):
            sample = {tensor.name: sample_of(found[tensor.name], tensor, index) for tensor in self.inputs}
            yield LabelledSample(sample, None if label_array is None else label_array[index])

    def _failed(self, why: str) -> EdgecError:
        return EdgecError(FUNCTION_FAILED, why, where=f"--data {self.specification}", hint=FUNCTION_FAILED.remedy)
