"""Makes up inputs for a model that nobody gave data for: seeded, and within what its operators accept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.codes.model import INPUTS_UNKNOWN
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.graph.input_ranges import InputRange, range_of
from edgec.graph.shapes import model_inputs, static_shape

LARGEST_BYTES = 1 << 30
"""Inputs of one sample may take this much memory; a larger shape is taken for a mistake."""


_SHARE_OF_CONSTANTS = 0.2
"""Share of the indices that are set to a constant that the graph looks for, such as the index of padding."""


def sample_inputs(model: ir.Model, count: int, seed: int, *, batch: int | None = None) -> list[Sample]:
    """Make up sets of inputs.

    Floats are standard normal. Booleans are both. Integers are drawn from what their use in the graph admits: indices
    below the extent of the axis that they pick from, sequence lengths from 1 to the longest, numbers compared with
    constants from those constants in turn. Integers without such a use: the full range for 8 and 16 bits, else 0 to 7.

    Args:
        model: all inputs must have a static shape and a numeric type.
        count: number of samples.
        batch: extent of open first axes; None leaves them open, which is an error.
        seed: equal seeds give equal samples for equal inputs; a sample does not depend on `count`.

    Raises:
        EdgecError: EC0209 where the shape or type of an input is open, or its size is beyond 1 GiB.
    """
    specs = [_spec(value, batch) for value in model_inputs(model)]
    total = sum(int(np.prod(shape, dtype=np.float64)) * dtype.itemsize for _, shape, dtype, _ in specs)
    if total > LARGEST_BYTES:
        what = f"the inputs of the model take {total / 2**30:.1f} GiB"
        raise EdgecError(INPUTS_UNKNOWN, what, hint="give a smaller shape with --shape")
    return [
        {
            name: _draw(np.random.default_rng([seed, number, position]), shape, dtype, admitted, number)
            for position, (name, shape, dtype, admitted) in enumerate(specs)
        }
        for number in range(count)
    ]


def _spec(value: ir.Value, batch: int | None) -> tuple[str, tuple[int, ...], np.dtype, InputRange]:
    name = str(value.name)
    shape = _shape(value, batch)
    if shape is None:
        open_axes = "of unknown rank" if value.shape is None else str(value.shape)
        hint = f"fix it with --shape {name}=…, or give data with --data"
        raise EdgecError(INPUTS_UNKNOWN, f"the shape of the input `{name}` is open: {open_axes}", where=name, hint=hint)
    if value.dtype is None or value.dtype == ir.DataType.STRING:
        hint = "give data with --data"
        raise EdgecError(INPUTS_UNKNOWN, f"the input `{name}` has no numeric type", where=name, hint=hint)
    return name, shape, np.dtype(value.dtype.numpy()), range_of(value)


def _shape(value: ir.Value, batch: int | None) -> tuple[int, ...] | None:
    if batch is None or not value.shape or isinstance(value.shape[0], int):
        return static_shape(value)
    others = [extent for extent in value.shape[1:] if isinstance(extent, int)]
    return (batch, *others) if len(others) == len(value.shape) - 1 else None


def _draw(
    random: np.random.Generator,
    shape: tuple[int, ...],
    dtype: np.dtype,
    admitted: InputRange,
    number: int,
) -> np.ndarray:
    if dtype.kind == "b":
        return np.asarray(random.integers(0, 2, shape)).astype(dtype)
    if admitted.constants and (admitted.high is None or int(np.prod(shape)) == 1):
        return _among(admitted.constants, random, shape, number).astype(dtype)
    if admitted.high is not None:
        drawn = np.asarray(random.integers(admitted.low, max(admitted.low, admitted.high) + 1, shape))
        special = random.choice(admitted.constants or (0,), shape)
        rare = random.random(shape) < (_SHARE_OF_CONSTANTS if admitted.constants else 0.0)
        return np.where(rare, special, drawn).astype(dtype)
    if dtype.kind in "iu":
        # Narrow integers are pixels, sound or quantised values; wide ones are more likely counts or choices.
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max) if dtype.itemsize <= 2 else (0, 7)
        return np.asarray(random.integers(low, high + 1, shape)).astype(dtype)
    return np.asarray(random.standard_normal(shape)).astype(dtype)


def _among(constants: Sequence[float], random: np.random.Generator, shape: tuple[int, ...], number: int) -> np.ndarray:
    """One constant after the other over the samples for a single number; mixed within a sample for more."""
    if int(np.prod(shape)) == 1:
        return np.full(shape, constants[number % len(constants)])
    return np.asarray(random.choice(np.asarray(constants), shape))
