"""Transcendental functions of float32 as straight-line arithmetic, so that vector loops call no math library.

Each takes and gives a float32 TIR expression. Multiplications, additions, comparisons, selections and bit casts are all
they use: every core with a vector unit runs them at full width. Errors are the largest relative errors found over all
inputs of the stated range; `tests/backends/test_approximations.py` holds them to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Expression = Any
"""A TIR expression of dtype float32; TVM ships no types."""

_LOG2_E = 1.44269504088896341
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
_ROUNDING_MAGIC = 12582912.0
_EXPONENT_BIAS = 127
_MANTISSA_BITS = 23

# Cephes expf: exp(r) = 1 + r + r² p(r) on |r| <= ln(2) / 2.
_EXPONENTIAL = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
# The exponents at these are -126, whose power of two is taken for 0, and 128.
_EXPONENTIAL_LOWEST, _EXPONENTIAL_HIGHEST = -87.3, 89.0
# Eigen's ptanh_float: tanh(x) = x p(x²) / q(x²).
_TANH_NUMERATOR = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_DENOMINATOR = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_TANH_SATURATION = 7.90531110763549805
_TANH_LINEAR_BELOW = 0.0004
# Eigen's perf_float: erf(x) = x p(x²) / q(x²).
_ERF_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_ERF_SATURATION = 4.0
# Cephes logf: log(1 + f) = f - f²/2 + f³ p(f) on sqrt(1/2) <= 1 + f < sqrt(2).
_LOGARITHM = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_SQRT_HALF_BITS = 0x3F3504F3
_SMALLEST_NORMAL = 1.17549435e-38


def _constant(value: float) -> Expression:
    from tvm import tirx

    return tirx.const(value, "float32")


def _named(name: str, value: Expression, body: Callable[[Expression], Expression]) -> Expression:
    """`body` of a value that is computed once: TIR expressions are trees, which repeat all that is used twice."""
    from tvm import tirx

    variable = tirx.Var(name, "float32")
    return tirx.Let(variable, value, body(variable))


def _polynomial(x: Expression, coefficients: Sequence[float]) -> Expression:
    result = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + _constant(coefficient)
    return result


def _clamped(x: Expression, low: float, high: float, body: Callable[[Expression], Expression]) -> Expression:
    """`body` of x between bounds, or of NaN."""
    # Not tirx.max/min: those lose NaN, while a comparison with NaN is false and so lets it through here.
    from tvm import tirx

    def bounded(x: Expression) -> Expression:
        raised = tirx.Select(x < _constant(low), _constant(low), x)
        return tirx.Select(x > _constant(high), _constant(high), raised)

    return _named("x", x, lambda x: _named("bounded", bounded(x), body))


def _power_of_two(exponent: Expression) -> Expression:
    """2**exponent for a float32 that holds an integer: its last bits, moved into the exponent field."""
    from tvm import tirx

    bits = tirx.reinterpret("uint32", exponent + _constant(_ROUNDING_MAGIC + _EXPONENT_BIAS))
    return tirx.reinterpret("float32", bits << tirx.const(_MANTISSA_BITS, "uint32"))


def _rounded(x: Expression) -> Expression:
    # Adding 1.5 * 2**23 leaves no bits for a fraction; neither a call nor a conversion. The bit casts keep TVM's
    # simplifier, which takes floats for real numbers, from cancelling the two constants.
    from tvm import tirx

    shifted = tirx.reinterpret("int32", x + _constant(_ROUNDING_MAGIC))
    return tirx.reinterpret("float32", shifted) - _constant(_ROUNDING_MAGIC)


def exponential(x: Expression) -> Expression:
    """The exponential function.

    Relative error <= 2e-7. Results below 1.8e-38 become 0; overflows to infinity; keeps NaN. Source: Cephes `expf`.
    """

    def of_parts(exponent: Expression, rest: Expression) -> Expression:
        mantissa = _polynomial(rest, _EXPONENTIAL) * rest * rest + rest + _constant(1.0)
        # One less in the exponent and doubled at the end, as 2**128 is no float32.
        return _named("one_half", mantissa * _power_of_two(exponent - _constant(1.0)), lambda half: half + half)

    def of_exponent(bounded: Expression, exponent: Expression) -> Expression:
        rest = bounded - exponent * _constant(_LN2_HIGH) - exponent * _constant(_LN2_LOW)
        return _named("rest", rest, lambda rest: of_parts(exponent, rest))

    def of_bounded(bounded: Expression) -> Expression:
        rounded = _rounded(bounded * _constant(_LOG2_E))
        return _named("exponent", rounded, lambda exponent: of_exponent(bounded, exponent))

    return _clamped(x, _EXPONENTIAL_LOWEST, _EXPONENTIAL_HIGHEST, of_bounded)


def sigmoid(x: Expression) -> Expression:
    """1 / (1 + e**-x).

    Relative error <= 4e-7 for x >= -87; below, the absolute error is less than the smallest normal number. Saturates at
    0 and 1, keeps NaN.
    """
    return _constant(1.0) / (_constant(1.0) + exponential(_constant(0.0) - x))


def hyperbolic_tangent(x: Expression) -> Expression:
    """Hyperbolic tangent. Relative error <= 6e-7; saturates at ±1, keeps NaN. Source: Eigen `ptanh_float`."""
    from tvm import tirx

    def of_square(bounded: Expression, square: Expression) -> Expression:
        rational = bounded * (_polynomial(square, _TANH_NUMERATOR) / _polynomial(square, _TANH_DENOMINATOR))
        return tirx.Select(square < _constant(_TANH_LINEAR_BELOW**2), bounded, rational)

    return _clamped(
        x,
        -_TANH_SATURATION,
        _TANH_SATURATION,
        lambda bounded: _named("square", bounded * bounded, lambda square: of_square(bounded, square)),
    )


def error_function(x: Expression) -> Expression:
    """The error function. Relative error <= 6e-7; saturates at ±1, keeps NaN. Source: Eigen `perf_float`."""

    def of_square(bounded: Expression, square: Expression) -> Expression:
        return bounded * (_polynomial(square, _ERF_NUMERATOR) / _polynomial(square, _ERF_DENOMINATOR))

    return _clamped(
        x,
        -_ERF_SATURATION,
        _ERF_SATURATION,
        lambda bounded: _named("square", bounded * bounded, lambda square: of_square(bounded, square)),
    )


def logarithm(x: Expression) -> Expression:
    """Natural logarithm.

    Relative error <= 4e-7 (subnormal x included); -infinity at 0, NaN below 0, infinity at infinity, keeps NaN.
    Source: Cephes `logf`.
    """
    return _named("x", x, lambda x: _logarithm_limits(x, _finite_logarithm(x)))


def _finite_logarithm(x: Expression) -> Expression:
    from tvm import tirx

    tiny = x < _constant(_SMALLEST_NORMAL)
    scaled = tirx.Select(tiny, x * _constant(float(1 << _MANTISSA_BITS)), x)
    bits = tirx.reinterpret("int32", scaled)
    # Taking the bits of sqrt(1/2) off first puts the mantissa between sqrt(1/2) and sqrt(2).
    exponent = (bits - tirx.const(_SQRT_HALF_BITS, "int32")) >> tirx.const(_MANTISSA_BITS, "int32")
    mantissa = tirx.reinterpret("float32", bits - (exponent << tirx.const(_MANTISSA_BITS, "int32")))
    scale = tirx.Cast("float32", exponent) - tirx.Select(tiny, _constant(float(_MANTISSA_BITS)), _constant(0.0))

    def combined(fraction: Expression, scale: Expression) -> Expression:
        square = fraction * fraction
        correction = fraction * square * _polynomial(fraction, _LOGARITHM)
        small = correction + scale * _constant(_LN2_LOW) - square * _constant(0.5)
        return fraction + small + scale * _constant(_LN2_HIGH)

    return _named(
        "fraction",
        mantissa - _constant(1.0),
        lambda fraction: _named("scale", scale, lambda scale: combined(fraction, scale)),
    )


def _logarithm_limits(x: Expression, result: Expression) -> Expression:
    from tvm import tirx

    infinity = _constant(float("inf"))
    result = tirx.Select(x == infinity, x, result)
    result = tirx.Select(x == _constant(0.0), _constant(float("-inf")), result)
    # A comparison with NaN is false, so that this catches NaN along with the negative numbers.
    return tirx.Select(x >= _constant(0.0), result, _constant(float("nan")))
