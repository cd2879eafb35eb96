"""Rounding to even without an adder of its own: the half that it adds moves into the bias of the product before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edgec.backends.rtl.integer_graph import Affine, IntegerGraph, Integers, Requantised


def with_halves_in_biases(graph: IntegerGraph) -> IntegerGraph:
    """The same outputs, with half a step in the biases of products that only a rounding reads.

    A sum that holds the half is rounded by cutting it off; where nothing is cut off but zeros it was a tie, and the
    last bit is cleared, which makes it even.
    """
    operations = list(graph.operations)
    readers = Counter(source for operation in operations for source in operation.sources)
    readers.update(border.value for border in graph.outputs)
    for position, operation in enumerate(operations):
        if not isinstance(operation, Requantised) or not operation.half_even or operation.shift == 0:
            continue
        (source,) = operation.sources
        product = operations[source]
        if not isinstance(product, Affine) or readers[source] > 1:
            continue
        bias = _raised_bias(product, operation)
        if bias is not None:
            operations[source] = replace(product, bias=bias)
            operations[position] = replace(operation, raised=True)
    return replace(graph, operations=tuple(operations))


def _raised_bias(product: Affine, rounding: Requantised) -> Integers | None:
    """The bias with the half; None where that is no integer, or not one of the channel alone."""
    half = 1 << (rounding.shift - 1)
    if (half % rounding.multiplier).any():
        return None
    halves = np.broadcast_to(half // rounding.multiplier, product.size)[product.place]
    if (halves != halves[:, :1]).any():
        return None
    return product.bias + halves[:, 0]
