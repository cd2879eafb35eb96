"""Nodes that compute scale·x + shift with one constant scale and shift per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.graph_edit import constant, static_shape


class NotAffineError(Exception):
    """A node is no per-channel scale and shift by constants. The message says why not, for a `Skip`."""


@dataclass(frozen=True, eq=False)
class Affine:
    """y = scale·source + shift along one axis.

    Attributes:
        source: x.
        scale: float64, shape (channels,) or (1,) for one scale of all.
        shift: float64, as `scale`.
        axis: the axis of the channels; without meaning where there is one scale for all.
        rank: number of axes of x.
        dtype: numpy type of x.
    """

    source: ir.Value
    scale: np.ndarray
    shift: np.ndarray
    axis: int
    rank: int
    dtype: np.dtype[np.generic]

    @property
    def scales(self) -> bool:
        """Whether any scale differs from 1."""
        return bool((self.scale != 1).any())

    @property
    def uniform(self) -> bool:
        """Whether one scale and one shift serve all channels."""
        return self.scale.size == 1


def batch_norm_affine(node: ir.Node) -> Affine:
    """What a BatchNormalization computes in inference.

    Raises:
        NotAffineError: training mode, per-activation statistics or parameters that are no constants.
    """
    if node.attributes.get_int("training_mode", 0) or any(output.name and output.uses() for output in node.outputs[1:]):
        raise NotAffineError("it is in training mode")
    if node.attributes.get_int("spatial", 1) == 0:
        raise NotAffineError("it normalises per activation (spatial = 0)")
    parameters = [constant(value) for value in node.inputs[1:5]]
    source = node.inputs[0]
    if len(parameters) != 4 or source is None or source.dtype is None:
        raise NotAffineError("its inputs are incomplete")
    known = [parameter.astype(np.float64) for parameter in parameters if parameter is not None]
    if len(known) != 4:
        raise NotAffineError("its parameters are computed at run time")
    gamma, beta, mean, variance = known
    if any(parameter.ndim != 1 or parameter.shape != gamma.shape for parameter in known):
        raise NotAffineError("its parameters are no vectors of one length")
    if source.shape is None:
        raise NotAffineError("the shape of its input is unknown")
    spread = variance + node.attributes.get_float("epsilon", 1e-5)
    if not (spread > 0).all():
        raise NotAffineError("its variance is not positive")
    scale = gamma / np.sqrt(spread)
    return Affine(source, scale, beta - mean * scale, 1, len(source.shape), source.dtype.numpy())


def elementwise_affine(node: ir.Node) -> Affine:
    """What Mul, Div, Add and Sub with one constant compute, if it varies along one axis at most.

    Raises:
        NotAffineError: no constant, a constant over several axes, broadcasting of the other input, not floating.
    """
    if len(node.inputs) != 2:
        raise NotAffineError("it has no two inputs")
    first, second = (constant(value) for value in node.inputs)
    source = node.inputs[0] if second is not None else node.inputs[1]
    contents = second if second is not None else first
    if contents is None or source is None or (first is not None and second is not None):
        raise NotAffineError("not exactly one input is constant")
    if second is None and node.op_type == "Div":
        raise NotAffineError("it divides by its input")
    shape = static_shape(source)
    if shape is None or shape != static_shape(node.outputs[0]) or contents.dtype.kind != "f":
        raise NotAffineError("shapes or types do not fit")
    aligned = contents.reshape((1,) * (len(shape) - contents.ndim) + contents.shape)
    long_axes = [axis for axis, extent in enumerate(aligned.shape) if extent != 1]
    if len(long_axes) > 1:
        raise NotAffineError("its constant varies along several axes")
    values = aligned.reshape(-1).astype(np.float64)
    ones, zeros = np.ones_like(values), np.zeros_like(values)
    match node.op_type:
        case "Mul":
            scale, shift = values, zeros
        case "Div":
            if not values.all():
                raise NotAffineError("it divides by 0")
            scale, shift = 1 / values, zeros
        case "Add":
            scale, shift = ones, values
        case _:
            # Sub: x − c, or c − x where the constant stands first.
            scale, shift = (ones, -values) if second is not None else (-ones, values)
    return Affine(source, scale, shift, long_axes[0] if long_axes else 0, len(shape), contents.dtype)
