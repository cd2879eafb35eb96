"""The layers of a network that can be quantized, and the values that they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Skip
from edgec.passes.graph_edit import constant, input_of, static_shape

_MOVERS = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "DepthToSpace", "Slice")
"""Operators whose output elements are elements of their first input: they work on integers as they are."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A node with constant weights whose products can be computed in integers.

    Attributes:
        node: Conv, Gemm or MatMul.
        weights: float32.
        axis: the axis of `weights` that the output channels lie along.
        bias: float32; None where the node has none.
        groups: of a Conv.
    """

    node: ir.Node
    weights: np.ndarray
    axis: int
    bias: np.ndarray | None
    groups: int

    @property
    def name(self) -> str:
        """Of the node."""
        return str(self.node.name)

    @property
    def read(self) -> ir.Value:
        """The input."""
        value = self.node.inputs[0]
        if value is None:
            raise TypeError(f"{self.name} has no input")
        return value

    @property
    def takes_bias(self) -> bool:
        """Whether the operator has an input for one."""
        return self.node.op_type != "MatMul"

    @property
    def input_axis(self) -> int:
        """The axis of the input that is summed over."""
        return 1 if self.node.op_type == "Conv" else -1

    @property
    def matrices(self) -> np.ndarray:
        """The weights as (groups, outputs of a group, inputs of a group and places of the window)."""
        if self.node.op_type == "Conv":
            outputs = self.weights.shape[0] // self.groups
            return self.weights.reshape(self.groups, outputs, -1)
        rows = self.weights if self.axis == 0 else self.weights.T
        return rows[None]

    def from_matrices(self, matrices: np.ndarray) -> np.ndarray:
        """The inverse of `matrices`, for any element type."""
        if self.node.op_type == "Conv":
            return matrices.reshape(self.weights.shape)
        return np.ascontiguousarray(matrices[0] if self.axis == 0 else matrices[0].T)


def find_layers(model: ir.Model, ignored: Sequence[str]) -> tuple[list[Layer], list[Skip]]:
    """The layers in order, and those nodes that are ignored or cannot be computed in integers, with the reason.

    Args:
        model: with static shapes.
        ignored: names of nodes, or patterns of them (`*/head/*`).
    """
    layers: list[Layer] = []
    skips: list[Skip] = []
    for node in model.graph:
        if node.domain != "" or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        pattern = next((pattern for pattern in ignored if fnmatchcase(str(node.name), pattern)), None)
        if pattern is not None:
            skips.append(Skip(str(node.name), f"stays float: `{pattern}` of the option `ignore` names it"))
            continue
        found = _layer(node)
        if isinstance(found, str):
            skips.append(Skip(str(node.name), f"stays float: {found}"))
        else:
            layers.append(found)
    return layers, skips


def unused_patterns(option: str, patterns: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """What the report says of patterns of an option that no name fits: most often they are misspelt."""
    return tuple(
        f"`{pattern}` of the option `{option}` names no layer"
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in names)
    )


def _layer(node: ir.Node) -> Layer | str:
    weights, bias = constant(input_of(node, 1)), constant(input_of(node, 2))
    if node.op_type == "ConvTranspose":
        return "there are no integer kernels for ConvTranspose"
    if weights is None:
        return "its weights are computed at run time"
    if weights.dtype != np.float32:
        return f"its weights are {weights.dtype}"
    if input_of(node, 2) is not None and bias is None:
        return "its bias is computed at run time"
    if constant(input_of(node, 0)) is not None:
        return "its input is constant"
    if static_shape(node.inputs[0]) is None:
        return "the shape of its input is open"
    attributes = node.attributes
    if node.op_type == "Conv":
        return Layer(node, weights, 0, bias, attributes.get_int("group", 1) or 1)
    if weights.ndim != 2:
        return "its weights are no single matrix"
    if node.op_type == "MatMul":
        return Layer(node, weights, 1, None, 1)
    if attributes.get_int("transA", 0) or attributes.get_float("alpha", 1.0) != 1.0:
        return "its left side is transposed or scaled"
    if attributes.get_float("beta", 1.0) != 1.0 or (bias is not None and bias.ndim > 1):
        return "its bias is scaled, or a matrix"
    return Layer(node, weights, 0 if attributes.get_int("transB", 0) else 1, bias, 1)


def shared_ranges(layers: Iterable[Layer]) -> list[tuple[ir.Value, ...]]:
    """The values that must be quantized for some layers to read integers, in groups that share one quantizer.

    Through operators that only move elements, concatenations included, a quantizer is that of the source, so that the
    move is one of integers.
    """
    leader: dict[ir.Value, ir.Value] = {}

    def find(value: ir.Value) -> ir.Value:
        while leader[value] is not value:
            value = leader[value]
        return value

    waiting = [layer.read for layer in layers]
    while waiting:
        value = waiting.pop()
        leader.setdefault(value, value)
        for source in _moved_from(value):
            if source not in leader:
                leader[source] = source
                waiting.append(source)
            leader[find(source)] = find(value)
    groups: dict[ir.Value, list[ir.Value]] = {}
    for value in leader:
        groups.setdefault(find(value), []).append(value)
    return [tuple(group) for group in groups.values()]


def _moved_from(value: ir.Value) -> Sequence[ir.Value]:
    """The computed values that the elements of a value are taken from, if its producer only moves them."""
    node = value.producer()
    if node is None or node.domain != "" or len(node.outputs) != 1:
        return ()
    moved = node.inputs if node.op_type == "Concat" else node.inputs[:1] if node.op_type in _MOVERS else ()
    sources = [source for source in moved if source is not None]
    constants = any(constant(source) is not None for source in sources)
    return () if constants or any(source.dtype != ir.DataType.FLOAT for source in sources) else sources
