"""The approximations against numpy in double precision, over the whole range of float32."""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
import pytest

from edgec.backends.tvm import approximations

SMALLEST_RESULT = 1.8e-38
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, 3.4e38, -3.4e38], np.float32)


def evaluate(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray:
    import tvm
    from tvm import s_tir, te

    padded = np.resize(values, (-(-values.size // 16) * 16,))
    x = te.placeholder(padded.shape, "float32", name="x")
    y = te.compute(padded.shape, lambda i: function(x[i]), name="y")
    schedule = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([x, y])}))
    (loop,) = schedule.get_loops(schedule.get_sblock("y"))
    schedule.vectorize(schedule.split(loop, [None, 16])[1])
    module = tvm.compile(schedule.mod, target=tvm.target.Target({"kind": "llvm"}))
    result = tvm.runtime.tensor(np.zeros_like(padded))
    module["main"](tvm.runtime.tensor(padded), result)
    return result.numpy()[: values.size]


def every_magnitude(count: int = 400_000) -> np.ndarray:
    """Finite float32 of every exponent and sign, subnormals included."""
    bits = np.linspace(0, 0xFFFFFFFF, count).astype(np.uint32).view(np.float32)
    return bits[np.isfinite(bits)]


def moderate(low: float, high: float, count: int = 400_000) -> np.ndarray:
    return np.linspace(low, high, count, dtype=np.float32)


def reference_sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray], tuple[float, float], float]] = {
    "exponential": (approximations.exponential, np.exp, (-110.0, 95.0), 2e-7),
    "sigmoid": (approximations.sigmoid, reference_sigmoid, (-110.0, 30.0), 4e-7),
    "hyperbolic_tangent": (approximations.hyperbolic_tangent, np.tanh, (-12.0, 12.0), 6e-7),
    "error_function": (approximations.error_function, np.vectorize(erf), (-6.0, 6.0), 6e-7),
    "logarithm": (approximations.logarithm, np.log, (0.0, 4.0), 4e-7),
}


@pytest.mark.parametrize("name", CASES)
def test_relative_error_over_the_whole_range(name: str) -> None:
    function, reference, interval, bound = CASES[name]
    values = np.concatenate([every_magnitude(), moderate(*interval), SPECIAL])
    actual = evaluate(function, values)
    with np.errstate(all="ignore"):
        expected = reference(values.astype(np.float64))
        rounded = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(rounded))
    infinite = np.isinf(actual)
    # Next to the overflow either side may be the one that is still finite.
    assert np.all(~infinite | (np.abs(expected) > 3.4028e38))
    assert np.all(infinite | np.isnan(rounded) | (np.abs(expected) < 3.4029e38))
    normal = np.isfinite(actual) & np.isfinite(rounded) & (np.abs(expected) >= SMALLEST_RESULT)
    relative = np.abs(actual[normal] - expected[normal]) / np.abs(expected[normal])
    assert relative.max() <= bound, (relative.max(), values[normal][relative.argmax()])
    tiny = np.isfinite(actual) & np.isfinite(rounded) & ~normal
    assert np.all(np.abs(actual[tiny] - expected[tiny]) <= SMALLEST_RESULT)


def test_saturation_is_exact() -> None:
    large = np.array([30.0, 1e10, np.inf], np.float32)
    np.testing.assert_array_equal(evaluate(approximations.sigmoid, large), np.ones(3, np.float32))
    np.testing.assert_array_equal(evaluate(approximations.sigmoid, -large)[1:], np.zeros(2, np.float32))
    for function in (approximations.hyperbolic_tangent, approximations.error_function):
        np.testing.assert_allclose(evaluate(function, large), 1.0, rtol=2e-7)
        assert np.all(evaluate(function, large) <= 1.0)
