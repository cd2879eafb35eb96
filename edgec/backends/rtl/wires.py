"""What stands for an ONNX value while a network is turned into integers, and the builder that collects operations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgec.backends.rtl.integer_graph import Border, Input, IntegerGraph, Operation

Scale = NDArray[np.float64]


class UnsupportedError(Exception):
    """A node that cannot become integers; caught by the walk over the graph.

    Args:
        reason: why.
        hint: what would help.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class Wire:
    """A value that depends on the inputs.

    Attributes:
        value: position of its operation.
        shape: its shape in the ONNX model.
        scale: float64 [N] or [1]: the real value is integer times scale; None for an input that no quantiser has
            seen yet.
        zero_point: what the ONNX model adds to the integers of this value; None where it is real there.
    """

    value: int
    shape: tuple[int, ...]
    scale: Scale | None
    zero_point: int | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def one_scale(self) -> float:
        """The scale, if all elements share it.

        Raises:
            UnsupportedError: if they do not, or there is none.
        """
        if self.scale is None:
            raise UnsupportedError("its input is not quantised", "put a quantiser before it")
        if (self.scale != self.scale[0]).any():
            raise UnsupportedError(
                "the channels of its input have scales of their own", "quantise activations with one scale a tensor"
            )
        return float(self.scale[0])

    def scales(self) -> Scale:
        """The scales [N] or [1].

        Raises:
            UnsupportedError: if the value is not quantised.
        """
        if self.scale is None:
            raise UnsupportedError("its input is not quantised", "put a quantiser before it")
        return self.scale


@dataclass(frozen=True)
class Constant:
    """A value that does not depend on the inputs.

    Attributes:
        real: its real elements, or its integers where the ONNX model holds integers.
        integers: int64 of the same shape; None for a float that no quantiser has seen.
        scale: float64, broadcasts to the shape; `real == integers * scale`.
    """

    real: NDArray[np.generic]
    integers: NDArray[np.int64] | None = None
    scale: Scale | None = None


Known = Wire | Constant


@dataclass
class GraphBuilder:
    """Collects operations; `known` holds what each ONNX value became."""

    operations: list[Operation] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)
    inputs: list[Border] = field(default_factory=list)
    exact: bool = True

    def append(self, operation: Operation) -> int:
        """Position of a new operation."""
        self.operations.append(operation)
        return len(self.operations) - 1

    def quantise_input(self, value: int, scale: float, low: int, high: int) -> None:
        """Let the host quantise an input.

        Raises:
            UnsupportedError: if another quantiser reads it too, with other parameters.
        """
        position, border = next((at, b) for at, b in enumerate(self.inputs) if b.value == value)
        source = self.operations[value]
        if not isinstance(source, Input):
            raise TypeError(f"operation {value} is no input")
        if border.scale.size and (border.scale[0], source.low, source.high) != (scale, low, high):
            raise UnsupportedError(
                f"the input {border.name} has two quantisers that differ", "quantise the input once and use the result"
            )
        self.operations[value] = replace(source, low=low, high=high)
        self.inputs[position] = replace(border, scale=np.array([scale]))

    def finish(self, outputs: tuple[Border, ...]) -> IntegerGraph:
        """The graph without the operations that no output needs."""
        needed = {border.value for border in (*outputs, *self.inputs)}
        for position in range(len(self.operations) - 1, -1, -1):
            if position in needed:
                needed.update(self.operations[position].sources)
        moved = {old: new for new, old in enumerate(sorted(needed))}
        operations = tuple(
            replace(self.operations[old], sources=tuple(moved[source] for source in self.operations[old].sources))
            for old in sorted(needed)
        )
        return IntegerGraph(
            operations,
            tuple(replace(border, value=moved[border.value]) for border in self.inputs),
            tuple(replace(border, value=moved[border.value]) for border in outputs),
            self.exact,
        )
