"""The layers of a network whose weights are binary: for each output channel a magnitude times −1 or +1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Skip
from edgec.graph.quantization_qonnx import QONNX_DOMAIN
from edgec.graph.spanning_tree import Signs
from edgec.passes.graph_edit import constant, input_of, static_shape


@dataclass(frozen=True, eq=False)
class BinaryLayer:
    """A Conv, Gemm or MatMul with binary weights.

    Attributes:
        node: of the graph.
        signs: int8 (groups, output channels of a group, N) of −1 and +1; N is what one output sums up.
        positions: places of the output that each channel is computed at, in one inference.
        bipolar_input: whether its input has no values but −scale and +scale, so that products are XNORs.
    """

    node: ir.Node
    signs: Signs
    positions: int
    bipolar_input: bool

    @property
    def name(self) -> str:
        """Of the node."""
        return str(self.node.name)


def find_binary_layers(model: ir.Model) -> tuple[list[BinaryLayer], list[Skip]]:
    """The binary layers in order, and those with binary weights that cannot be used, with the reason.

    Args:
        model: with static shapes.
    """
    layers: list[BinaryLayer] = []
    skips: list[Skip] = []
    for node in model.graph:
        if node.domain != "" or node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        found = _layer(node)
        if isinstance(found, BinaryLayer):
            layers.append(found)
        elif found:
            skips.append(Skip(str(node.name), found))
    return layers, skips


def real_weights(value: ir.Value | None) -> np.ndarray | None:
    """The constant that a value is, behind BipolarQuant or DequantizeLinear too; None for anything else."""
    known = constant(value)
    node = None if value is None else value.producer()
    if known is not None or node is None:
        return known
    operands = [constant(operand) for operand in node.inputs if operand is not None]
    if any(operand is None for operand in operands):
        return None
    first, scale, *rest = (np.asarray(operand) for operand in operands if operand is not None)
    if node.domain == QONNX_DOMAIN and node.op_type == "BipolarQuant":
        return np.where(first < 0, -scale, scale)
    if node.domain == "" and node.op_type == "DequantizeLinear" and not node.attributes.get_int("block_size", 0):
        axis = node.attributes.get_int("axis", 1) or 0
        shape = [1] * first.ndim
        if scale.size > 1:
            shape[axis] = -1
        zero_point = rest[0].astype(np.int64).reshape(shape) if rest else 0
        return np.asarray((first.astype(np.int64) - zero_point).astype(np.float32) * scale.reshape(shape))
    return None


def signed_source(value: ir.Value | None) -> tuple[ir.Value, np.float32] | None:
    """What a value has the signs of, and its magnitude: from BipolarQuant, or from what is left of it once inlined."""
    node = None if value is None else value.producer()
    if node is None:
        return None
    if (node.domain, node.op_type) == (QONNX_DOMAIN, "BipolarQuant"):
        scale, source = _number(node.inputs[1]), node.inputs[0]
        return None if scale is None or scale <= 0 or source is None else (source, scale)
    if (node.domain, node.op_type) != ("", "Where"):
        return None
    low, high = _number(node.inputs[1]), _number(node.inputs[2])
    less = None if node.inputs[0] is None else node.inputs[0].producer()
    if less is None or less.op_type != "Less" or low is None or high is None or high <= 0 or low != -high:
        return None
    source = less.inputs[0]
    return None if source is None or _number(less.inputs[1]) != 0 else (source, high)


def _number(value: ir.Value | None) -> np.float32 | None:
    """A constant of one element, behind a negation too."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Neg" and node.domain == "":
        inner = _number(node.inputs[0])
        return None if inner is None else np.float32(-inner)
    contents = constant(value)
    return None if contents is None or contents.size != 1 else np.float32(contents.reshape(()))


def _layer(node: ir.Node) -> BinaryLayer | str:
    """The layer; else why it is left alone, or nothing if its weights are not binary."""
    weights = real_weights(input_of(node, 1))
    if weights is None or weights.ndim < 2 or weights.dtype.kind != "f":
        return ""
    groups = (node.attributes.get_int("group", 1) or 1) if node.op_type == "Conv" else 1
    across = node.op_type == "MatMul" or (node.op_type == "Gemm" and not node.attributes.get_int("transB", 0))
    if node.op_type != "Conv" and weights.ndim != 2:
        return ""
    rows = (weights.T if across else weights).reshape(weights.shape[1] if across else weights.shape[0], -1)
    magnitudes = np.abs(rows)
    if not (magnitudes[:, :1] > 0).all() or (magnitudes != magnitudes[:, :1]).any():
        return ""
    transposed = node.attributes.get_int("transA", 0)
    if node.op_type == "Gemm" and transposed:
        return "its input is transposed"
    if len(rows) == groups:
        return "each of its groups has one output channel, so there is nothing to share"
    shape = static_shape(node.outputs[0])
    if shape is None:
        return "the shape of its output is open"
    signs = np.where(rows < 0, -1, 1).astype(np.int8).reshape(groups, len(rows) // groups, -1)
    return BinaryLayer(node, signs, int(np.prod(shape)) // len(rows), _is_bipolar(node.inputs[0]))


def _is_bipolar(value: ir.Value | None) -> bool:
    """Whether a value comes from BipolarQuant, through operators that only move elements."""
    while value is not None and (node := value.producer()) is not None:
        if node.domain == QONNX_DOMAIN and node.op_type == "BipolarQuant":
            return True
        if node.domain != "" or node.op_type not in ("MaxPool", "Reshape", "Flatten", "Transpose", "Identity"):
            return False
        value = node.inputs[0]
    return False
