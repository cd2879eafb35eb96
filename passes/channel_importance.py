"""How much a channel matters, judged by the weights that make it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import Role
from edgec.passes.graph_edit import constant

Gradients = Mapping[tuple[ir.Node, int], np.ndarray]
"""By node and number of the input that is the weight: an array of the shape of that weight."""


class Criterion(StrEnum):
    """What the importance of a filter is.

    L1 and L2: the norm of its weights (Li et al., Pruning Filters for Efficient ConvNets, 2017).
    LAMP: its squared norm over the sum of those that are no smaller (Lee et al., Layer-adaptive Sparsity for the
    Magnitude-based Pruning, 2021, applied to filters).
    GEOMETRIC_MEDIAN: the sum of its distances to the other filters: one close to the centre can be replaced by others
    (He et al., Filter Pruning via Geometric Median, 2019).
    TAYLOR: how much the loss would change without it, to first order, squared: its weights times their gradients,
    summed and squared, over batches of the training data (Molchanov et al., Importance Estimation for Neural Network
    Pruning, 2019, equation 8).
    RECONSTRUCTION: how much the layers that read it lose although the other channels make up for it, on samples; see
    `channel_reconstruction.reader_errors`.
    RANDOM: a random number, for comparison.
    """

    L1 = "l1"
    L2 = "l2"
    LAMP = "lamp"
    GEOMETRIC_MEDIAN = "geometric-median"
    TAYLOR = "taylor"
    RECONSTRUCTION = "reconstruction"
    RANDOM = "random"


def class_importance(
    channels: ChannelMap, criterion: Criterion, seed: int, gradients: Iterable[Gradients] = ()
) -> np.ndarray:
    """The importance of every class of channels, (classes,), float64, infinite where a class must stay.

    Every layer scores its filters, relative to the mean of the layer; a class takes the mean over the filters that make
    it, so that a layer counts no more for having larger weights. By `TAYLOR` a class takes the sum, as it is the loss
    itself that is estimated, and layers can be compared.

    Args:
        channels: of the model.
        criterion: what makes a filter important.
        seed: of `RANDOM`.
        gradients: of the loss by the weights, for each of some batches; for `TAYLOR`.
    """
    if criterion is Criterion.TAYLOR:
        return _taylor(channels, gradients)
    generator = np.random.default_rng(seed)
    total = np.zeros(channels.classes.count)
    filters = np.zeros(channels.classes.count)
    for axis in channels.constant_axes:
        weights = constant(axis.node.inputs[axis.input])
        if axis.role is not Role.PRODUCES or weights is None:
            continue
        scores = _scores(np.moveaxis(weights, axis.axis, 0).reshape(weights.shape[axis.axis], -1), criterion, generator)
        members = channels.classes.of(axis.channels)
        np.add.at(total, members, scores)
        np.add.at(filters, members, 1.0)
    importance = total / np.maximum(filters, 1.0)
    importance[list(channels.reasons)] = np.inf
    return importance


def importance_to_readers(channels: ChannelMap, errors: Mapping[ir.Node, np.ndarray]) -> np.ndarray:
    """The importance of every class by `RECONSTRUCTION`, as `class_importance`.

    Classes that only layers without an error read, as those with too many features, take the mean of the others, more
    or less by their `L2`.

    Args:
        channels: of the model.
        errors: for each layer what it loses without a class, (classes,), negative where it cannot read it.
    """
    importance = np.zeros(channels.classes.count)
    read = np.zeros(channels.classes.count, bool)
    for scores in errors.values():
        importance += np.maximum(scores, 0.0)
        read |= scores >= 0.0
    weights = class_importance(channels, Criterion.L2, seed=0)
    importance[~read] = weights[~read] * (importance[read].mean() if read.any() else 1.0)
    importance[list(channels.reasons)] = np.inf
    return importance


def _taylor(channels: ChannelMap, gradients: Iterable[Gradients]) -> np.ndarray:
    """The change of the loss without each class: what makes it goes at once, so products add up before the square."""
    importance = np.zeros(channels.classes.count)
    for batch in gradients:
        change = np.zeros_like(importance)
        for axis in channels.constant_axes:
            gradient, weights = batch.get((axis.node, axis.input)), constant(axis.node.inputs[axis.input])
            if axis.role is not Role.PRODUCES or gradient is None or weights is None:
                continue
            products = np.moveaxis(gradient * weights, axis.axis, 0).reshape(weights.shape[axis.axis], -1)
            np.add.at(change, channels.classes.of(axis.channels), products.sum(axis=1, dtype=np.float64))
        importance += np.square(change)
    importance[list(channels.reasons)] = np.inf
    return importance


def _scores(filters: np.ndarray, criterion: Criterion, generator: np.random.Generator) -> np.ndarray:
    """The score of each row, (filters,), float64, with a mean of 1 except for LAMP."""
    if criterion is Criterion.RANDOM:
        return generator.uniform(0.5, 1.5, len(filters))
    rows = filters.astype(np.float32, copy=False)
    if criterion is Criterion.L1:
        scores = np.abs(rows).sum(axis=1, dtype=np.float64)
    elif criterion is Criterion.L2:
        scores = np.sqrt(np.einsum("ij,ij->i", rows, rows).astype(np.float64))
    elif criterion is Criterion.GEOMETRIC_MEDIAN:
        squares = np.einsum("ij,ij->i", rows, rows)
        distances = squares[:, None] + squares[None, :] - 2 * (rows @ rows.T)
        scores = np.sqrt(np.maximum(distances, 0)).sum(axis=1, dtype=np.float64)
    else:
        return _lamp(np.einsum("ij,ij->i", rows, rows).astype(np.float64))
    mean = scores.mean()
    return np.asarray(scores / mean if mean > 0 else scores)


def _lamp(squares: np.ndarray) -> np.ndarray:
    order = np.argsort(squares, kind="stable")
    remaining = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.where(remaining > 0, remaining, 1.0)
    return scores
