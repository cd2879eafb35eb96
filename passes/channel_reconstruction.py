"""Making up for removed channels from a few samples: readers get them as a linear combination of those that stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from edgec.core.codes.passes import PASS_NEEDS_DATA
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import ConstantAxis, Role
from edgec.graph.reference import ReferenceSession
from edgec.passes.graph_edit import Names, add_constant, constant, graph_of, input_of

SAMPLES = 32
"""Samples that are looked at: more change little, and every one is an inference of the whole model."""

_POSITIONS = 1024
"""Places of a feature map that are looked at in each sample."""

_MOST_FEATURES = 4096
"""Features of a layer beyond which their covariances, quadratic in them, would take too long."""

_RIDGE = 1e-2
"""Weight of the penalty on the combination, relative to the mean variance of the features."""


@dataclass(eq=False)
class Moments:
    """Sums over places and samples of the features that a layer reads.

    Attributes:
        count: number of places.
        total: sum of the features, (features,).
        products: sum of their outer products, (features, features).
    """

    count: int
    total: np.ndarray
    products: np.ndarray

    def add(self, features: np.ndarray) -> None:
        """Take in features, (places, features)."""
        self.count += len(features)
        self.total += features.sum(axis=0)
        self.products += features.T @ features

    def combination(self, stays: np.ndarray, *, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
        """The features that go as a linear function of those that stay: matrix (going, staying) and vector (going,)."""
        mean = self.total / self.count if intercept else np.zeros_like(self.total)
        covariance = self.products / self.count - np.outer(mean, mean)
        own = covariance[np.ix_(stays, stays)]
        ridge = _RIDGE * max(float(np.trace(own)) / max(len(own), 1), 1e-12)
        across = covariance[np.ix_(~stays, stays)]
        matrix = np.linalg.solve(own + ridge * np.eye(len(own)), across.T).T
        return matrix, mean[~stays] - matrix @ mean[stays]


def make_up_for_removed(
    model: ir.Model,
    channels: ChannelMap,
    kept: np.ndarray,
    samples: Iterable[Sample],
    read: Mapping[ir.Node, np.ndarray] | None = None,
) -> int:
    """Adjust the weights of all layers that read channels which are about to be removed, in place.

    For each layer the features that go are regressed on those that stay, at the same place, over the samples; the
    regression is folded into the layer's weights and bias. Layers with groups are left as they are, and so are those
    with more than 4096 features. Source: the reconstruction step of He et al., Channel Pruning for Accelerating Very
    Deep Neural Networks, 2017, solved on the inputs of a layer instead of its outputs, so that the kernel's size does
    not matter.

    Args:
        model: before the removal.
        channels: its channels.
        kept: whether each class stays, (classes,), bool.
        samples: inputs of the model; the first 32 are used.
        read: for layers that read less than what is kept, whether they read each class, (classes,), bool.

    Returns:
        Number of layers adjusted; 0 without samples.

    Raises:
        EdgecError: EC0208 where ONNX Runtime cannot run the model on the samples.
    """
    masks = read or {}
    found = [(axis, channels.classes.of(axis.channels)) for axis in channels.constant_axes]
    stays = {axis: masks.get(axis.node, kept)[members] for axis, members in found}
    readers = [axis for axis, _ in found if _is_adjusted(axis, stays[axis])]
    moments = _moments(model, readers, samples)
    names = Names(model)
    for axis in readers if moments else []:
        _adjust(axis, moments[str(_read(axis).name)], stays[axis], channels, kept, names)
    return len(readers) if moments else 0


def reader_errors(model: ir.Model, channels: ChannelMap, samples: Iterable[Sample]) -> dict[ir.Node, np.ndarray]:
    """For each layer without groups, what it loses if one class of channels goes and the others make up for it.

    The squared error of its outputs, over their square: with weights w and second moments H of what the layer reads,
    |w_c|^2 / inverse(H)_cc (Hassibi and Stork, Optimal Brain Surgeon, 1993; per layer as in Frantar et al., Optimal
    Brain Compression, 2022). Features of one class add up as if they were independent.

    Args:
        model: with shapes; it is not changed.
        channels: its channels.
        samples: inputs of the model; the first 32 are used.

    Returns:
        For each layer (classes,), float64, negative for classes that it cannot read.

    Raises:
        EdgecError: EC0305 without samples, EC0208 where ONNX Runtime cannot run the model on the samples.
    """
    candidates = [axis for axis in channels.constant_axes if _is_dense(axis) and axis.channels.size <= _MOST_FEATURES]
    readers = [axis for axis in candidates if _read(axis).producer() is not None]
    moments = _moments(model, readers, samples)
    if readers and not moments:
        what = "the criterion `reconstruction` looks at what layers read, and there are no samples"
        raise EdgecError(PASS_NEEDS_DATA, what, where="pass prune-channels", hint=PASS_NEEDS_DATA.remedy)
    found: dict[ir.Node, np.ndarray] = {}
    for axis in readers:
        weights = constant(axis.node.inputs[axis.input])
        if weights is None:
            continue
        rows = np.moveaxis(weights, axis.axis, 0).reshape(axis.channels.size, -1).astype(np.float64)
        own = moments[str(_read(axis).name)]
        second = own.products / own.count
        second += _RIDGE * max(float(np.trace(second)) / len(second), 1e-12) * np.eye(len(second))
        lost = np.square(rows).sum(axis=1) / np.diag(np.linalg.inv(second))
        whole = float(((second @ rows) * rows).sum())
        members = channels.classes.of(axis.channels)
        scores = np.full(channels.classes.count, -1.0)
        scores[members] = 0.0
        np.add.at(scores, members, lost / max(whole, 1e-30))
        found[axis.node] = scores
    return found


def _is_dense(axis: ConstantAxis) -> bool:
    return axis.role is Role.CONSUMES and axis.node.attributes.get_int("group", 1) == 1


def _is_adjusted(axis: ConstantAxis, stays: np.ndarray) -> bool:
    if not _is_dense(axis):
        return False
    return bool(not stays.all() and stays.any() and stays.size <= _MOST_FEATURES)


def _read(axis: ConstantAxis) -> ir.Value:
    value = axis.node.inputs[0]
    if value is None:
        raise ValueError(f"{axis.node.name} reads nothing")
    return value


def _moments(model: ir.Model, readers: list[ConstantAxis], samples: Iterable[Sample]) -> dict[str, Moments]:
    """The moments of the values that the layers read, by name; empty without samples."""
    axes = {str(_read(axis).name): -1 if axis.node.op_type in ("Gemm", "MatMul") else 1 for axis in readers}
    found: dict[str, Moments] = {}
    if not axes:
        return found
    session = None
    for sample in islice(samples, SAMPLES):
        session = session or ReferenceSession(_with_outputs(model, axes))
        outputs = session.run(sample)
        for name, axis in axes.items():
            features = np.moveaxis(outputs[name], axis, -1).reshape(-1, outputs[name].shape[axis])
            chosen = features[:: max(1, len(features) // _POSITIONS)].astype(np.float64)
            size = chosen.shape[1]
            found.setdefault(name, Moments(0, np.zeros(size), np.zeros((size, size)))).add(chosen)
    return found


def _with_outputs(model: ir.Model, wanted: Iterable[str]) -> ir.Model:
    """A copy of the model, weights shared, that yields inner values too."""
    copy = model.clone()
    present = {str(value.name) for value in copy.graph.outputs}
    inner = {str(output.name): output for node in copy.graph for output in node.outputs}
    copy.graph.outputs.extend(inner[name] for name in wanted if name not in present)
    return copy


def _adjust(
    axis: ConstantAxis, moments: Moments, stays: np.ndarray, channels: ChannelMap, kept: np.ndarray, names: Names
) -> None:
    """Fold the combination into the weights and the bias of one layer."""
    node = axis.node
    weights = constant(node.inputs[axis.input])
    if weights is None:
        return
    intercept = node.op_type != "MatMul" and node.attributes.get_float("beta", 1.0) != 0.0
    matrix, shift = moments.combination(stays, intercept=intercept)
    by_feature = np.moveaxis(weights, axis.axis, 0).astype(np.float64)
    going = by_feature[~stays]
    by_feature[stays] += np.tensordot(matrix.T, going, axes=1)
    changed = np.ascontiguousarray(np.moveaxis(by_feature, 0, axis.axis), dtype=weights.dtype)
    replace_constant(node, axis.input, changed, names)
    if not intercept:
        return
    made = next(a for a in channels.constant_axes if a.node is node and a.role is Role.PRODUCES)
    moved = np.tensordot(shift, going, axes=1)
    produced = made.axis - (made.axis > axis.axis)
    moved = moved.sum(axis=tuple(number for number in range(moved.ndim) if number != produced))
    scale = node.attributes.get_float("alpha", 1.0) / node.attributes.get_float("beta", 1.0)
    bias = constant(input_of(node, 2))
    if bias is not None:
        replace_constant(node, 2, np.asarray(bias + moved * scale, dtype=weights.dtype), names)
        return
    # A bias that was not there before is not among the constants that are sliced later.
    left = kept[channels.classes.of(made.channels)]
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    replace_constant(node, 2, np.asarray((moved * scale)[left], dtype=weights.dtype), names)


def replace_constant(node: ir.Node, position: int, contents: np.ndarray, names: Names) -> None:
    """Give a node another weight or bias, or one that it did not have; the old one goes if nobody else reads it."""
    old = node.inputs[position]
    wanted = f"{node.name}.bias" if old is None else f"{old.name}.reconstructed"
    node.replace_input_with(position, add_constant(graph_of(node), names.fresh(wanted), contents))
    if old is not None and not old.uses() and old.is_initializer() and old.graph is not None:
        old.graph.initializers.pop(str(old.name))
