"""Whether arrays fit a model's inputs; where they do not, what the user most likely meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgec.core.codes.data import DOES_NOT_FIT
from edgec.core.errors import EdgecError
from edgec.core.tensor import TensorSpec

Shape = tuple[int, ...]
SINGLE_INPUT = "x"
LABELS = "y"


@dataclass(frozen=True)
class ArrayHeader:
    """What is known of an array before its numbers are read."""

    dtype: np.dtype[np.generic]
    shape: Shape


def match_names(names: tuple[str, ...], inputs: tuple[TensorSpec, ...], where: str) -> dict[str, str]:
    """Name of the array for each input of the model; `x` stands for the only input.

    Raises:
        EdgecError: EC0705 for an input without an array, or an array that belongs to no input and is not `y`.
    """
    expected = tuple(tensor.name for tensor in inputs)
    if len(inputs) == 1 and SINGLE_INPUT in names and expected[0] not in names:
        found = {expected[0]: SINGLE_INPUT}
    else:
        found = {name: name for name in expected if name in names}
    missing = [name for name in expected if name not in found]
    unknown = [name for name in names if name not in found.values() and name != LABELS]
    if not missing and not unknown:
        return found
    what = f"no array for the input {missing[0]}" if missing else f"the array {unknown[0]} belongs to no input"
    raise EdgecError(
        DOES_NOT_FIT,
        what,
        where=where,
        hint=f"name the arrays {', '.join(expected)}"
        + (" (or x)" if len(expected) == 1 else "")
        + ", and y for labels",
        details=(f"the data holds: {', '.join(names) or 'nothing'}", f"the model takes: {', '.join(expected)}"),
    )


def sample_count(header: ArrayHeader, spec: TensorSpec, where: str) -> int:
    """How many samples an array holds for an input.

    The array is samples × the input's shape, or, where the input's first extent is 1, samples × the rest of it. An
    array of the input's very shape is one sample.

    Raises:
        EdgecError: EC0705 for another type or shape, with the likely conversion as its hint.
    """
    check_type(header, spec, where)
    if header.shape[1:] == spec.shape and len(header.shape) > 0:
        return header.shape[0]
    if header.shape == spec.shape:
        return 1
    if spec.shape[:1] == (1,) and len(header.shape) == len(spec.shape) and header.shape[1:] == spec.shape[1:]:
        return header.shape[0]
    raise EdgecError(
        DOES_NOT_FIT,
        f"{spec.name} has the shape {_text(header.shape)}, the model takes {_text(spec.shape)}",
        where=where,
        hint=_shape_hint(header.shape, spec.shape),
    )


def check_type(header: ArrayHeader, spec: TensorSpec, where: str) -> None:
    """Check that an array has the input's element type.

    Raises:
        EdgecError: EC0705 with the likely conversion as its hint.
    """
    if header.dtype.newbyteorder("=") == np.dtype(spec.dtype):
        return
    raise EdgecError(
        DOES_NOT_FIT,
        f"{spec.name} is {header.dtype.name}, the model takes {spec.dtype}",
        where=where,
        hint=_type_hint(header.dtype, np.dtype(spec.dtype)),
    )


def sample_of(array: np.ndarray, spec: TensorSpec, index: int) -> np.ndarray:
    """One sample of an array that `sample_count` accepted, in the input's shape, contiguous, native byte order."""
    whole = array.shape == spec.shape and spec.shape[:1] != (1,)
    chosen = array if whole else array[index]
    return np.ascontiguousarray(chosen, dtype=np.dtype(spec.dtype)).reshape(spec.shape)


def check_finite(sample: Mapping[str, np.ndarray], where: str) -> None:
    """Check that a sample holds no NaN and no infinity.

    Raises:
        EdgecError: EC0705 naming the input and the first offending element.
    """
    for name, array in sample.items():
        if array.dtype.kind != "f":
            continue
        odd = np.argwhere(~np.isfinite(array))
        if odd.size:
            place = tuple(int(extent) for extent in odd[0])
            raise EdgecError(
                DOES_NOT_FIT,
                f"{name} holds {len(odd)} NaN or infinite values, the first at {_text(place)}",
                where=where,
                hint="look at how the array was made; np.isfinite(x).all() must be True",
            )


def _shape_hint(given: Shape, expected: Shape) -> str:
    rest, wanted = given[1:], expected[1:]
    if len(given) == len(expected) == 4 and (rest[2], rest[0], rest[1]) == wanted:
        return "the array looks like NHWC and the model takes NCHW: x.transpose(0, 3, 1, 2)"
    if len(given) == len(expected) == 4 and (rest[1], rest[2], rest[0]) == wanted:
        return "the array looks like NCHW and the model takes NHWC: x.transpose(0, 2, 3, 1)"
    if len(given) == len(expected) == 4 and sorted(rest) != sorted(wanted):
        return "resize or pad as in training, or build for the data's size with --shape"
    if expected[:1] == (1,) and given == wanted:
        return "a batch axis is missing: x[None]"
    return f"the array must be samples × {_text(wanted if expected[:1] == (1,) else expected)}"


def _type_hint(given: np.dtype[np.generic], expected: np.dtype[np.generic]) -> str:
    if given.kind == "u" and given.itemsize == 1 and expected.kind == "f":
        return f"scale bytes as in training, for instance (x / 255).astype('{expected.name}')"
    if given.kind == "f" and expected.kind in "iu":
        return f"the model takes whole numbers; if these are such: x.astype('{expected.name}')"
    return f"if the values survive it: x.astype('{expected.name}')"


def _text(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"
