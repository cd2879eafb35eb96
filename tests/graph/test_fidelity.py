"""Errors between outputs, with everything that makes them awkward: NaN, infinity, constants, integers, scalars."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgec.core.codes.model import OUTPUTS_DIFFER
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity
from edgec.graph.fidelity import WORST, compare


def of(reference: object, candidate: object, dtype: str = "float32") -> Fidelity:
    """Compare one output of one sample."""
    return compare([{"y": np.asarray(reference, dtype)}], [{"y": np.asarray(candidate, dtype)}])


def test_errors_counted_by_hand() -> None:
    fidelity = compare(
        [{"y": np.array([[0.0, 10.0]])}, {"y": np.array([[4.0, 2.0]])}],
        [{"y": np.array([[1.0, 10.0]])}, {"y": np.array([[1.0, 2.0]])}],
    )
    assert fidelity.samples == 2
    assert not fidelity.bit_exact
    assert fidelity.max_abs_error == 3.0
    assert fidelity.max_relative_error == pytest.approx(0.3)
    assert fidelity.snr_db == pytest.approx(10 * math.log10((100 + 16 + 4) / (1 + 9)))
    assert fidelity.agreement == 0.5


def test_the_range_is_that_of_each_output() -> None:
    reference = [{"large": np.array([0.0, 1000.0]), "small": np.array([0.0, 1.0])}]
    candidate = [{"small": np.array([0.0, 0.5]), "large": np.array([0.0, 999.0])}]
    assert compare(reference, candidate).max_relative_error == pytest.approx(0.5)


def test_equal_oddities_are_no_error() -> None:
    odd = [np.nan, np.inf, -np.inf, 1.0]
    fidelity = of(odd, odd)
    assert (fidelity.bit_exact, fidelity.max_abs_error, fidelity.snr_db) == (True, 0.0, None)


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [([np.nan, 1], [0, 1]), ([0, 1], [np.nan, 1]), ([0, 1], [np.inf, 1]), ([np.inf, 1], [-np.inf, 1])],
)
def test_a_lonely_oddity_is_the_worst_error_and_fits_into_json(reference: list[float], candidate: list[float]) -> None:
    fidelity = of(reference, candidate)
    assert fidelity.max_abs_error == fidelity.max_relative_error == WORST
    assert json.loads(json.dumps(fidelity.model_dump(), allow_nan=False))["max_abs_error"] == WORST


def test_a_constant_output_is_measured_against_its_magnitude() -> None:
    assert of([5, 5], [5, 4]).max_relative_error == pytest.approx(0.2)
    assert of([0, 0], [0, 0.25]).max_relative_error == pytest.approx(0.25)
    assert of([0, 0], [0, 0]).max_relative_error == 0.0
    assert of(3.0, 2.0).max_relative_error == pytest.approx(1 / 3)


def test_zeros_of_other_sign_are_equal_but_not_in_bits() -> None:
    fidelity = of([0.0, 1.0], [-0.0, 1.0])
    assert fidelity.max_abs_error == 0.0
    assert not fidelity.bit_exact


def test_integers_and_booleans_are_numbers() -> None:
    assert of([0, 200], [255, 200], "uint8").max_abs_error == 255.0
    assert of([True, False], [True, True], "bool").max_abs_error == 1.0
    assert of([1, 2], [1, 2], "int64").bit_exact


def test_another_type_is_not_bit_exact() -> None:
    fidelity = compare([{"y": np.ones(2, np.float32)}], [{"y": np.ones(2, np.float64)}])
    assert fidelity.max_abs_error == 0.0
    assert not fidelity.bit_exact


def test_empty_outputs_are_equal() -> None:
    assert of(np.zeros((0, 4)), np.zeros((0, 4))).bit_exact
    assert compare([], []).agreement == 1.0


@pytest.mark.parametrize(
    "candidate",
    [[], [{"z": np.zeros(2)}], [{"y": np.zeros(3)}], [{"y": np.zeros(2)}, {"y": np.zeros(2)}]],
)
def test_what_cannot_be_compared_is_refused(candidate: list[dict[str, np.ndarray]]) -> None:
    with pytest.raises(EdgecError) as caught:
        compare([{"y": np.zeros(2)}], candidate)
    assert caught.value.code is OUTPUTS_DIFFER


@given(
    arrays.arrays(np.float64, (2, 5), elements=st.floats()),
    arrays.arrays(np.float64, (2, 5), elements=st.floats()),
)
def test_any_floats_give_finite_numbers(a: np.ndarray, b: np.ndarray) -> None:
    fidelity = compare([{"y": a}], [{"y": b}])
    json.dumps(fidelity.model_dump(), allow_nan=False)
    assert 0.0 <= fidelity.agreement <= 1.0
    assert compare([{"y": a}], [{"y": a}]).max_abs_error == 0.0
