"""A quantised network as integers: every value is a flat vector of int64, every operation is exact.

Shapes, layouts and paddings are gone: each operation says by index which elements it reads. A real value of the ONNX
model is the integer times a scale that only the border of the graph keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgec.core.codes.hardware import RANGE_TOO_WIDE
from edgec.core.errors import EdgecError

Integers = NDArray[np.int64]
WIDEST_BITS = 48
"""Widest intermediate value: with a multiplier of 24 bits its products still are integers of int64 and of yosys."""


@dataclass(frozen=True)
class Interval:
    """Smallest and largest value of each element of a vector.

    Attributes:
        low: int64 [N].
        high: int64 [N].
    """

    low: Integers
    high: Integers

    @property
    def signed(self) -> bool:
        """Whether some element may be negative."""
        return bool((self.low < 0).any())

    @property
    def bits(self) -> int:
        """Bits of the narrowest type that holds every element: two's complement if signed."""
        return bits_of(int(self.low.min()), int(self.high.max()))


def bits_of(low: int, high: int) -> int:
    """Bits of the narrowest type that holds `low` to `high`; at least 1."""
    if low < 0:
        return max((-low - 1).bit_length(), high.bit_length()) + 1
    return max(1, high.bit_length())


@dataclass(frozen=True, eq=False)
class Operation(ABC):
    """One step of the graph; `sources` are positions of earlier values in `IntegerGraph.operations`.

    Attributes:
        node: the ONNX node.
        op: its operator.
        sources: what it reads.
        size: elements of its result.
    """

    node: str
    op: str
    sources: tuple[int, ...]
    size: int

    @abstractmethod
    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The result [B, size] of inputs [B, N]; wraps like int64, which `intervals_of` rules out."""

    @abstractmethod
    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Bounds of the result; exact for each element by itself."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return 0


@dataclass(frozen=True, eq=False)
class Input(Operation):
    """What comes from outside, quantised by the host.

    Attributes:
        low: smallest value.
        high: largest value.
    """

    low: int
    high: int

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The given vector."""
        return inputs[0]

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """The range of the quantiser."""
        return Interval(np.full(self.size, self.low, np.int64), np.full(self.size, self.high, np.int64))


@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """Matrix products: dense layers, convolutions of any grouping, and sums over windows.

    For group g, position p and channel m: `y[g, p, m] = bias[g, m] + sum_k weights[g, k, m] * x[reads[g, p, k]]`.

    Attributes:
        weights: int64 [G, K, M].
        bias: int64 [G, M].
        reads: [G, P, K], elements of the source; -1 where a window hangs over the border and reads zero.
        place: [G, P, M], where each result stands in the output.
    """

    weights: Integers
    bias: Integers
    reads: Integers
    place: Integers

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """Sum of products."""
        (x,) = inputs
        padded = np.concatenate((x, np.zeros((len(x), 1), np.int64)), axis=1)
        sums = np.einsum("bgpk,gkm->bgpm", padded[:, self.reads], self.weights) + self.bias[:, None, :]
        return self._placed(sums)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Each product at its extreme."""
        (x,) = inputs
        low, high = (np.append(bound, 0).astype(np.float64)[self.reads] for bound in (x.low, x.high))
        above, below = (part.astype(np.float64) for part in (np.maximum(self.weights, 0), np.minimum(self.weights, 0)))
        bias = self.bias[:, None, :]
        lowest = low @ above + high @ below + bias
        highest = high @ above + low @ below + bias
        _require_width(self, float(np.abs(lowest).max()), float(np.abs(highest).max()))
        return Interval(self._placed(lowest.astype(np.int64)[None])[0], self._placed(highest.astype(np.int64)[None])[0])

    @property
    def macs(self) -> int:
        """Products with elements that are not padding."""
        return int((self.reads >= 0).sum() * self.weights.shape[2])

    def _placed(self, sums: Integers) -> Integers:
        result = np.empty((len(sums), self.size), np.int64)
        result[:, self.place.ravel()] = sums.reshape(len(sums), -1)
        return result


@dataclass(frozen=True, eq=False)
class Largest(Operation):
    """Max-pooling: `y[n] = max_k x[reads[n, k]]`.

    Attributes:
        reads: [N, K]; a window that hangs over the border reads one of its own elements twice.
    """

    reads: Integers

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """Largest element of each window."""
        return np.asarray(inputs[0][:, self.reads].max(axis=2), np.int64)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Monotone in each element."""
        return Interval(inputs[0].low[self.reads].max(axis=1), inputs[0].high[self.reads].max(axis=1))


@dataclass(frozen=True, eq=False)
class Rearranged(Operation):
    """Elements in another order, some left out: `y[n] = x[reads[n]]`."""

    reads: Integers

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The elements."""
        return inputs[0][:, self.reads]

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Those of the elements."""
        return Interval(inputs[0].low[self.reads], inputs[0].high[self.reads])


@dataclass(frozen=True, eq=False)
class Sum(Operation):
    """Elementwise sum of two vectors on one grid: `y = x0 * factors[0] + x1 * factors[1]`.

    Attributes:
        factors: powers of two that bring both to the finer scale.
    """

    factors: tuple[int, int]

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The sum."""
        return inputs[0] * self.factors[0] + inputs[1] * self.factors[1]

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Sum of the bounds."""
        pairs = tuple(zip(inputs, self.factors, strict=True))
        widest = sum(float(np.abs([x.low, x.high]).max()) * factor for x, factor in pairs)
        _require_width(self, widest)
        low, high = (sum(getattr(x, end) * factor for x, factor in pairs) for end in ("low", "high"))
        return Interval(np.asarray(low, np.int64), np.asarray(high, np.int64))


@dataclass(frozen=True, eq=False)
class Clamped(Operation):
    """`y = min(max(x, low), high)`: ReLU and Clip on a scale that stays."""

    low: int
    high: int

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The clamped elements."""
        return np.clip(inputs[0], self.low, self.high)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """The clamped bounds."""
        return Interval(np.clip(inputs[0].low, self.low, self.high), np.clip(inputs[0].high, self.low, self.high))


@dataclass(frozen=True, eq=False)
class Requantised(Operation):
    """To another scale: `y = clamp(round(x * multiplier / 2**shift), low, high)`.

    Attributes:
        multiplier: int64 [N] or [1].
        shift: not negative.
        half_even: whether to round to the nearest, ties to even; else towards minus infinity.
        low: smallest result.
        high: largest result.
        raised: whether x holds the half already that rounding to even adds: `y` is that of `x - half / multiplier`.
    """

    multiplier: Integers
    shift: int
    half_even: bool
    low: int
    high: int
    raised: bool = False

    def evaluate(self, inputs: Sequence[Integers]) -> Integers:
        """The rounded and saturated elements."""
        return np.clip(self._rounded(inputs[0]), self.low, self.high)

    def interval(self, inputs: Sequence[Interval]) -> Interval:
        """Monotone: multipliers are positive."""
        (x,) = inputs
        _require_width(self, float(np.abs([x.low, x.high]).max()) * float(self.multiplier.max()))
        low, high = (np.clip(self._rounded(bound), self.low, self.high) for bound in (x.low, x.high))
        return Interval(low, high)

    def _rounded(self, x: Integers) -> Integers:
        product = x * self.multiplier
        if not self.half_even or self.shift == 0:
            return product >> self.shift
        if self.raised:
            product = product - (1 << (self.shift - 1))
        odd = (product >> self.shift) & 1
        return (product + (1 << (self.shift - 1)) - 1 + odd) >> self.shift


@dataclass(frozen=True)
class Border:
    """How the real values outside of the graph and the integers inside belong together.

    Attributes:
        name: ONNX name of the input or output.
        dtype: its element type, numpy's name.
        shape: its shape.
        value: position of the operation.
        scale: float64 [N] or [1]; the real value of an integer is `integer * scale`.
        zero_point: what the ONNX model adds to the integer, where its own input or output is an integer.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: int
    scale: NDArray[np.float64]
    zero_point: int = 0


@dataclass(frozen=True)
class IntegerGraph:
    """A network in order of execution.

    Attributes:
        operations: each reads earlier ones.
        inputs: quantised by the host: `clamp(round(x / scale), low, high)` of its `Input`.
        outputs: dequantised by the host: `integer * scale`.
        exact: whether every scale is a power of two, so that results equal those of the ONNX model bit for bit.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[Border, ...]
    outputs: tuple[Border, ...]
    exact: bool

    def evaluate(self, inputs: Sequence[Integers]) -> list[Integers]:
        """Every value [B, N] of the graph for the inputs [B, N] in order; the reference of all hardware."""
        given = iter(inputs)
        values: list[Integers] = []
        for operation in self.operations:
            read = [next(given)] if isinstance(operation, Input) else [values[source] for source in operation.sources]
            values.append(operation.evaluate(read))
        return values

    def quantise_inputs(self, arrays: Sequence[NDArray[np.generic]]) -> list[Integers]:
        """Real inputs [B, ...] as integers [B, N]; rounds half to even in float32, as ONNX Runtime does."""
        quantised = []
        for border, array in zip(self.inputs, arrays, strict=True):
            source = self.operations[border.value]
            if not isinstance(source, Input):
                raise TypeError(f"{border.name} is not an input")
            flat = array.reshape(len(array), -1)
            if np.issubdtype(flat.dtype, np.integer):
                quantised.append(flat.astype(np.int64) - border.zero_point)
                continue
            steps = np.rint(flat.astype(np.float32) / border.scale.astype(np.float32))
            quantised.append(np.clip(steps, source.low, source.high).astype(np.int64))
        return quantised

    def dequantise_outputs(self, values: Sequence[Integers]) -> list[NDArray[np.generic]]:
        """The outputs [B, ...] of what `evaluate` gave."""
        return [_outside(border, values[border.value]) for border in self.outputs]


def intervals_of(graph: IntegerGraph) -> tuple[Interval, ...]:
    """Bounds of every value, in order.

    Raises:
        EdgecError: EC1101 where a value could need more than `WIDEST_BITS` bits.
    """
    found: list[Interval] = []
    for operation in graph.operations:
        found.append(operation.interval([found[source] for source in operation.sources]))
    return tuple(found)


def _outside(border: Border, integers: Integers) -> NDArray[np.generic]:
    shape = (-1, *border.shape[1:])
    if np.issubdtype(np.dtype(border.dtype), np.integer):
        return (integers + border.zero_point).astype(border.dtype).reshape(shape)
    return (integers.astype(np.float32) * border.scale.astype(np.float32)).reshape(shape)


def _require_width(operation: Operation, *magnitudes: float) -> None:
    largest = max(magnitudes)
    if largest >= 2.0 ** (WIDEST_BITS - 1):
        raise EdgecError(
            RANGE_TOO_WIDE,
            f"its values reach 2^{np.log2(largest):.1f}; {WIDEST_BITS} bits are the most that a value may take",
            where=f"node {operation.node} ({operation.op})",
            hint=RANGE_TOO_WIDE.remedy,
        )
