"""Fitting the layers of a pruned model, one after another, to what they computed before it was pruned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from edgec.core.tensor import Sample
from edgec.graph.channels import ChannelMap
from edgec.passes.channel_reconstruction import replace_constant
from edgec.passes.graph_edit import Names, bodies_of
from edgec.passes.piecewise_run import PiecewiseRun
from edgec.passes.quantize_layers import Layer, find_layers
from edgec.passes.reconstruct_weights import columns

FEWEST_SAMPLES = 8
"""Fewer say too little of which fit is one to the samples only."""

_MOST_SAMPLES = 128
_PLACES = 512
"""Places of a feature map that are looked at in each sample, about."""

_MOST_FEATURES = 4096
"""Features of a layer beyond which their covariances, quadratic in them, would take too long."""

_HELD_OUT = 4
"""Every fourth sample judges how strongly the fit is held back."""

_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the penalty on the change, relative to the mean variance of the features."""

_EQUAL = 1e-5
"""Relative difference below which a layer computes what it did."""


def outputs_that_stay(channels: ChannelMap, kept: np.ndarray) -> dict[str, np.ndarray]:
    """For every node that loses channels of its output, which of them stay, (channels,), bool.

    Args:
        channels: of the model before the removal.
        kept: whether each class stays, (classes,), bool.
    """
    found = {}
    for contraction in channels.contractions:
        value = contraction.node.outputs[0]
        if value in channels.values:
            found[str(contraction.node.name)] = kept[channels.classes.of(channels.values[value].ravel())]
    return found


def refit(whole: ir.Model, pruned: ir.Model, stays: Mapping[str, np.ndarray], samples: Iterable[Sample]) -> int:
    """Adjust weights and biases of the layers of a pruned model, in place; how many.

    Each layer in turn is given the weights by which it computes, of what the layers before it now yield, most nearly
    what it did before pruning, in the least squares sense; errors of earlier layers are made up for, and those that
    depthwise layers make, too. How far weights may move is judged by samples that are held out. Layers with more than
    4096 features are left as they are, and so are models with control flow.

    Source: the reconstruction step of He et al., Channel Pruning for Accelerating Very Deep Neural Networks, 2017,
    equation 5 (layer by layer from the inputs of the pruned network to the outputs of the whole one).

    Args:
        whole: the model before the removal.
        pruned: after it.
        stays: of the outputs of each layer, by the name of the node, see `outputs_that_stay`.
        samples: inputs of the model; the first 128 are used, and nothing is done with fewer than 8.

    Raises:
        EdgecError: EC0208 where ONNX Runtime cannot run the model on the samples.
    """
    chosen = list(islice(samples, _MOST_SAMPLES))
    if len(chosen) < FEWEST_SAMPLES or any(True for node in whole.graph for _ in bodies_of(node)):
        return 0
    before, after = PiecewiseRun(whole, chosen), PiecewiseRun(pruned, chosen)
    layers = {layer.node: layer for layer in find_layers(pruned, ())[0]}
    names, adjusted = Names(pruned), 0
    for node in after.layers:
        layer = layers.get(node)
        wanted = before.advance()
        if layer is not None and _can_be_fitted(layer):
            adjusted += _fit(layer, after.inputs(), wanted, stays.get(layer.name), names)
        after.advance()
    return adjusted


def _can_be_fitted(layer: Layer) -> bool:
    attributes = layer.node.attributes
    plain = attributes.get_float("alpha", 1.0) == attributes.get_float("beta", 1.0) == 1.0
    written_out = attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    return plain and written_out and layer.matrices.shape[2] <= _MOST_FEATURES


def _fit(
    layer: Layer, inputs: list[np.ndarray], wanted: list[np.ndarray], stays: np.ndarray | None, names: Names
) -> bool:
    """Change one layer, unless it computes what it did or no change helps on what is held out."""
    matrices = layer.matrices.astype(np.float64)
    fitted, held = (_Moments.of(matrices) for _ in range(2))
    bias = 0.0 if layer.bias is None else layer.bias.reshape(-1).astype(np.float64)
    equal = True
    for number, (x, y) in enumerate(zip(inputs, wanted, strict=True)):
        every = max(1, y[0, 0].size // _PLACES) if layer.node.op_type == "Conv" else 1
        features = np.stack([*columns(layer, x, every)])
        rows = y[:, :, ::every] if layer.node.op_type == "Conv" else y
        rows = np.moveaxis(rows, layer.input_axis, -1).reshape(-1, y.shape[layer.input_axis])
        rows = rows if stays is None else rows[:, stays]
        now = np.concatenate([*(features @ matrices.transpose(0, 2, 1))], axis=1) + bias
        left = rows - now
        equal &= bool(np.abs(left).max() <= _EQUAL * max(float(np.abs(rows).max()), 1e-30))
        (held if number % _HELD_OUT == _HELD_OUT - 1 else fitted).add(features, left)
    if equal or (change := _best_change(fitted, held, intercept=layer.takes_bias)) is None:
        return False
    weights, shift = change
    replace_constant(layer.node, 1, layer.from_matrices((matrices + weights).astype(layer.weights.dtype)), names)
    if layer.takes_bias:
        if len(layer.node.inputs) < 3:
            layer.node.resize_inputs(3)
        replace_constant(layer.node, 2, np.asarray(bias + shift, layer.weights.dtype), names)
    return True


@dataclass(eq=False)
class _Moments:
    """Sums over places and samples of what a layer reads and of what its output lacks, by group.

    Attributes:
        count: places.
        read: (groups, inputs).
        lacking: (groups, outputs).
        read_read: (groups, inputs, inputs).
        read_lacking: (groups, inputs, outputs).
    """

    count: int
    read: np.ndarray
    lacking: np.ndarray
    read_read: np.ndarray
    read_lacking: np.ndarray

    @classmethod
    def of(cls, matrices: np.ndarray) -> _Moments:
        """Nothing yet, for weights (groups, outputs, inputs)."""
        groups, outputs, inputs = matrices.shape
        sizes = ((inputs,), (outputs,), (inputs, inputs), (inputs, outputs))
        return cls(0, *(np.zeros((groups, *size)) for size in sizes))

    def add(self, features: np.ndarray, left: np.ndarray) -> None:
        """Take in features (groups, places, inputs) and what is lacking, (places, all outputs)."""
        groups = len(features)
        lacking = np.moveaxis(left.reshape(len(left), groups, -1), 1, 0)
        self.count += len(left)
        self.read += features.sum(axis=1)
        self.lacking += lacking.sum(axis=1)
        self.read_read += features.transpose(0, 2, 1) @ features
        self.read_lacking += features.transpose(0, 2, 1) @ lacking

    def plus(self, other: _Moments) -> _Moments:
        """Of both together."""
        return _Moments(
            self.count + other.count,
            self.read + other.read,
            self.lacking + other.lacking,
            self.read_read + other.read_read,
            self.read_lacking + other.read_lacking,
        )

    def solve(self, ridge: float, *, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
        """The change of weights (groups, inputs, outputs) and the shift (groups, outputs) that lack least."""
        mean = self.read / self.count if intercept else np.zeros_like(self.read)
        lacking = self.lacking / self.count if intercept else np.zeros_like(self.lacking)
        own = self.read_read / self.count - mean[:, :, None] * mean[:, None, :]
        across = self.read_lacking / self.count - mean[:, :, None] * lacking[:, None, :]
        scale = np.trace(own, axis1=1, axis2=2) / own.shape[1]
        held_back = ridge * np.maximum(scale, 1e-12)[:, None, None] * np.eye(own.shape[1])
        change = np.linalg.solve(own + held_back, across)
        return change, lacking - np.einsum("gi,gio->go", mean, change)

    def error(self, change: np.ndarray, shift: np.ndarray) -> float:
        """The squared error with a change, less that without it, over all places."""
        products = np.einsum("gio,gio->", change, self.read_read @ change - 2 * self.read_lacking)
        shifted = 2 * np.einsum("gi,gio,go->", self.read, change, shift) - 2 * (self.lacking * shift).sum()
        return float(products + shifted + self.count * np.square(shift).sum())


def _best_change(fitted: _Moments, held: _Moments, *, intercept: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The change by all samples, (groups, outputs, inputs), and the shift, (all outputs,).

    It is held back as strongly as is best for those that are held out; None where none is good for them.
    """
    errors = {ridge: held.error(*fitted.solve(ridge, intercept=intercept)) for ridge in _RIDGES}
    best = min(errors, key=lambda ridge: errors[ridge])
    if errors[best] >= 0:
        return None
    change, shift = fitted.plus(held).solve(best, intercept=intercept)
    return change.transpose(0, 2, 1), shift.reshape(-1)
