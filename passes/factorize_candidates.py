"""What a layer can be replaced by: two smaller ones, with a bound on the error, and the time that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from edgec.graph.channels_cost import KernelRate
from edgec.passes.graph_edit import constant, input_of, static_shape

_FLOAT_BYTES = 4
_MOST_GROUPS = 16
"""Groups beyond which each holds too few channels to be worth a search."""


class Order(StrEnum):
    """Which of the two layers has the kernel of the old one.

    KERNEL_FIRST: the kernel, in groups of the input channels, then 1 x 1 across them.
    KERNEL_LAST: 1 x 1 first, then the kernel on fewer channels.
    """

    KERNEL_FIRST = "kernel first"
    KERNEL_LAST = "kernel last"


@dataclass(frozen=True)
class Factors:
    """Two layers in place of one.

    Attributes:
        order: which of them has the kernel.
        groups: groups of the first layer.
        rank: channels between them, of each group.
        error: bound on the operator norm of the difference of the folded weights, over that of the weights.
        macs: multiply-accumulates of both.
        seconds: predicted time of both.
    """

    order: Order
    groups: int
    rank: int
    error: float
    macs: int
    seconds: float

    @property
    def between(self) -> int:
        """Channels between the two layers."""
        return self.groups * self.rank


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """A convolution without groups, or a dense layer, seen as a convolution of a kernel of one element.

    Attributes:
        node: the Conv, Gemm or MatMul.
        weights: (outputs, inputs, kernel elements), float.
        places_in: output places that a 1 x 1 layer in front of it has.
        places_out: places of its output, all samples of the batch.
    """

    node: ir.Node
    weights: np.ndarray
    places_in: int
    places_out: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer as it is."""
        return self.weights.size * self.places_out

    def seconds(self, rate: KernelRate) -> float:
        """Predicted time of the layer as it is."""
        outputs, inputs, _ = self.weights.shape
        moved = self.places_in * inputs + self.places_out * outputs + self.weights.size
        return rate.kernel_seconds(self.macs, outputs, _FLOAT_BYTES * moved)


def dense_layer(node: ir.Node) -> DenseLayer | str:
    """The layer in its folded form, or why it cannot be factorized."""
    weights = constant(input_of(node, 1))
    shapes = static_shape(input_of(node, 0)), static_shape(node.outputs[0])
    if weights is None:
        return "its weights are computed at run time"
    if weights.dtype.kind != "f":
        return "its weights are no floats"
    if shapes[0] is None or shapes[1] is None:
        return "its shapes are open"
    if node.op_type == "Conv":
        if node.attributes.get_int("group", 1) != 1:
            return "its channels are in groups already"
        folded = weights.reshape(*weights.shape[:2], -1)
        return DenseLayer(node, folded, *(shape[0] * math.prod(shape[2:]) for shape in shapes if shape))
    if weights.ndim != 2:
        return "its weights are no matrix"
    if node.attributes.get_int("transA", 0) == 1:
        return "its input is transposed"
    by_output = weights if node.attributes.get_int("transB", 0) else weights.T
    places = math.prod(shapes[1][:-1])
    return DenseLayer(node, by_output[:, :, None], places, places)


def folded(layer: DenseLayer, order: Order, groups: int) -> list[np.ndarray]:
    """The matrices that are approximated: one for each group of input channels, the outputs as rows.

    For `KERNEL_LAST` one matrix, (outputs x kernel elements, inputs).
    """
    outputs, inputs, kernel = layer.weights.shape
    if order is Order.KERNEL_LAST:
        return [np.moveaxis(layer.weights, 2, 1).reshape(outputs * kernel, inputs)]
    parts = layer.weights.reshape(outputs, groups, inputs // groups, kernel)
    return [parts[:, number].reshape(outputs, -1) for number in range(groups)]


def candidates(layer: DenseLayer, rate: KernelRate) -> list[Factors]:
    """Every number of groups and rank that would be faster than the layer; ranks fill vectors of the target.

    The error bound is that of Liebenwein et al., Compressing Neural Networks: Towards Determining the Optimal
    Layer-wise Decomposition, 2021, theorem 1: with s(i, n) the n-th singular value of the matrix of group i of k and s
    the largest of the whole, sqrt(k) max_i s(i, rank + 1) / s.
    """
    _, inputs, kernel = layer.weights.shape
    choices = [(Order.KERNEL_FIRST, k) for k in range(1, min(inputs, _MOST_GROUPS) + 1) if inputs % k == 0]
    if layer.node.op_type != "Conv":
        choices = choices[:1]
    elif kernel > 1:
        choices.append((Order.KERNEL_LAST, 1))
    found = []
    longest = layer.seconds(rate)
    for order, groups in choices:
        spectra = [_singular_values(matrix) for matrix in folded(layer, order, groups)]
        whole = _singular_values(folded(layer, order, 1)[0])[0] if groups > 1 else spectra[0][0]
        for rank in range(rate.lanes, len(spectra[0]), rate.lanes):
            error = math.sqrt(groups) * max(float(s[rank]) for s in spectra) / max(float(whole), 1e-30)
            factors = _cost(layer, rate, order, groups, rank, error)
            if factors.seconds >= longest:
                break
            found.append(factors)
    return found


def _cost(layer: DenseLayer, rate: KernelRate, order: Order, groups: int, rank: int, error: float) -> Factors:
    outputs, inputs, kernel = layer.weights.shape
    between = groups * rank
    if order is Order.KERNEL_FIRST:
        places, weights = layer.places_out, (rank * inputs * kernel, outputs * between)
    else:
        places, weights = layer.places_in, (inputs * rank, outputs * rank * kernel)
    macs = places * weights[0], layer.places_out * weights[1]
    moved = (
        layer.places_in * inputs + places * between + weights[0],
        places * between + layer.places_out * outputs + weights[1],
    )
    seconds = rate.kernel_seconds(macs[0], rank, _FLOAT_BYTES * moved[0])
    seconds += rate.kernel_seconds(macs[1], outputs, _FLOAT_BYTES * moved[1])
    return Factors(order, groups, rank, error, sum(macs), seconds)


def _singular_values(matrix: np.ndarray) -> np.ndarray:
    """Descending, from the smaller Gram matrix: the vectors are only needed for the rank that is chosen."""
    wide = matrix.astype(np.float64)
    gram = wide @ wide.T if len(wide) <= wide.shape[1] else wide.T @ wide
    return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)))
