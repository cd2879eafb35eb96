"""Conv, ConvTranspose, Gemm and MatMul with constant weights: scaling their inputs or outputs per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.passes.channel_affine import Affine
from edgec.passes.graph_edit import Names, add_constant, constant, graph_of, input_of, insert_before


class WeightsNotFoldableError(Exception):
    """A per-channel scale and shift cannot be folded into these weights. The message says why not, for a `Skip`."""


@dataclass(frozen=True, eq=False)
class WeightedNode:
    """A node with its constant weights and bias.

    Attributes:
        node: the Conv, ConvTranspose, Gemm or MatMul.
        bias_node: the Add behind a MatMul, if there is one.
        weights: float, in ONNX's layout of the node.
        bias: float, broadcastable to the output channels; None if there is none.
    """

    node: ir.Node
    bias_node: ir.Node | None
    weights: np.ndarray
    bias: np.ndarray | None

    @classmethod
    def of(cls, node: ir.Node, bias_node: ir.Node | None) -> WeightedNode:
        """Read the weights of a node.

        Raises:
            WeightsNotFoldableError: another operator, or weights that are no floating constants.
        """
        if node.domain != "" or node.op_type not in {"Conv", "ConvTranspose", "Gemm", "MatMul"}:
            raise WeightsNotFoldableError(f"its neighbour is {node.op_type}, without weights")
        weights = constant(input_of(node, 1))
        if weights is None or weights.dtype.kind != "f":
            raise WeightsNotFoldableError(f"the weights of {node.name} are no floating constants")
        if weights.ndim < 3 if node.op_type.startswith("Conv") else weights.ndim != 2:
            raise WeightsNotFoldableError(f"the weights of {node.name} have {weights.ndim} axes")
        groups = node.attributes.get_int("group", 1)
        if groups < 1 or weights.shape[0] % groups:
            raise WeightsNotFoldableError(f"the weights of {node.name} do not fit its groups")
        return cls(node, bias_node, weights, _bias(node, bias_node))

    def scale_outputs(self, affine: Affine, names: Names) -> ir.Value:
        """Make a copy of the node that yields scale·y + shift; its last output.

        Raises:
            WeightsNotFoldableError: the channels of the affine map are not those of the node.
        """
        scale, shift = self._per_output(affine)
        node = self.node
        if self.bias is not None and node.op_type.startswith("Conv") and self.bias.size != scale.size:
            raise WeightsNotFoldableError(f"the bias of {node.name} does not fit its channels")
        match node.op_type:
            case "Conv":
                weights = self.weights * scale.reshape(-1, *[1] * (self.weights.ndim - 1))
            case "ConvTranspose":
                groups = node.attributes.get_int("group", 1)
                grouped = self.weights.reshape(groups, -1, *self.weights.shape[1:])
                factors = scale.reshape(groups, 1, -1, *[1] * (self.weights.ndim - 2))
                weights = (grouped * factors).reshape(self.weights.shape)
            case "Gemm" if node.attributes.get_int("transB", 0):
                weights = self.weights * scale[:, None]
            case _:
                weights = self.weights * scale
        old_bias = 0.0 if self.bias is None else self.bias.astype(np.float64)
        return self._rebuilt(weights, old_bias * scale + shift, names)

    def scale_inputs(self, affine: Affine, names: Names) -> ir.Value:
        """Make a copy of the node that reads the source of the affine map; its last output.

        Raises:
            WeightsNotFoldableError: padding would be shifted, or the channels are not those of the node.
        """
        node, weights = self.node, self.weights.astype(np.float64)
        if node.op_type == "Conv":
            padded = node.attributes.get_string("auto_pad", "NOTSET") not in {"NOTSET", "VALID"} or any(
                node.attributes.get_ints("pads", [])
            )
            if padded and affine.shift.any():
                raise WeightsNotFoldableError(f"{node.name} pads its input")
            groups = node.attributes.get_int("group", 1)
            if affine.axis != 1 or affine.scale.size != groups * weights.shape[1]:
                raise WeightsNotFoldableError("other channels")
            per_group = weights.reshape(groups, -1, *weights.shape[1:])
            trailing = [1] * (weights.ndim - 2)
            scaled = per_group * affine.scale.reshape(groups, 1, -1, *trailing)
            shift = (per_group * affine.shift.reshape(groups, 1, -1, *trailing)).reshape(weights.shape)
            shift = shift.sum(axis=tuple(range(1, weights.ndim)))
            scaled = scaled.reshape(weights.shape)
        elif node.op_type == "Gemm" and not node.attributes.get_int("transA", 0):
            matrix = weights.T if node.attributes.get_int("transB", 0) else weights
            if affine.axis != 1 or affine.scale.size != matrix.shape[0]:
                raise WeightsNotFoldableError("other channels")
            scaled = matrix * affine.scale[:, None]
            shift = node.attributes.get_float("alpha", 1.0) * (affine.shift @ matrix)
            scaled = scaled.T if node.attributes.get_int("transB", 0) else scaled
        else:
            raise WeightsNotFoldableError(f"{node.op_type} after it")
        old_bias = 0.0 if self.bias is None else self.bias.astype(np.float64)
        return self._rebuilt(scaled, old_bias + shift, names, source=affine.source)

    def _per_output(self, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift, one each per output channel."""
        node, weights = self.node, self.weights
        match node.op_type:
            case "Conv":
                channels, axis = weights.shape[0], 1
            case "ConvTranspose":
                channels, axis = weights.shape[1] * node.attributes.get_int("group", 1), 1
            case "Gemm":
                channels, axis = weights.shape[0 if node.attributes.get_int("transB", 0) else 1], 1
            case _:
                channels, axis = weights.shape[1], affine.rank - 1
        if affine.uniform:
            return np.full(channels, affine.scale[0]), np.full(channels, affine.shift[0])
        if affine.axis != axis or affine.scale.size != channels:
            raise WeightsNotFoldableError(f"its channels are not the output channels of {node.name}")
        return affine.scale, affine.shift

    def _rebuilt(self, weights: np.ndarray, bias: np.ndarray, names: Names, source: ir.Value | None = None) -> ir.Value:
        """The node, and its Add if it is a MatMul, with other weights; inserted in front of the old one."""
        node, graph, dtype = self.node, graph_of(self.node), self.weights.dtype
        attributes = {name: attribute for name, attribute in node.attributes.items() if name != "beta"}
        made_weights = add_constant(graph, names.fresh(f"{node.name}.weights"), weights.astype(dtype))
        made_bias = add_constant(graph, names.fresh(f"{node.name}.bias"), np.asarray(bias).astype(dtype))
        inputs = [source if source is not None else node.inputs[0], made_weights]
        old_name = str(node.name)
        node.name = names.fresh(f"{old_name}.folded")
        if node.op_type == "MatMul":
            product = ir.node("MatMul", inputs, name=old_name)
            total = ir.node("Add", [product.outputs[0], made_bias], name=names.fresh(f"{old_name}/Add"))
            nodes = [product, total]
        else:
            nodes = [ir.node(node.op_type, [*inputs, made_bias], attributes=attributes, name=old_name)]
        for made in nodes:
            made.outputs[0].name = names.fresh(f"{made.name}.output")
            made.outputs[0].type, made.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
        insert_before(self.bias_node if self.bias_node is not None else node, nodes)
        return nodes[-1].outputs[0]


def _bias(node: ir.Node, bias_node: ir.Node | None) -> np.ndarray | None:
    """The constant bias of a node, that of Gemm times its factor `beta`; None if there is none."""
    if bias_node is not None:
        contents = next((c for c in map(constant, bias_node.inputs) if c is not None), None)
        if contents is None or (contents.ndim and contents.size != contents.shape[-1]):
            raise WeightsNotFoldableError(f"{bias_node.name} adds no constant per channel")
        return contents.reshape(-1)
    if node.op_type == "MatMul" or input_of(node, 2) is None:
        return None
    contents = constant(input_of(node, 2))
    if contents is None:
        raise WeightsNotFoldableError(f"the bias of {node.name} is computed at run time")
    if node.op_type == "Gemm":
        return contents * node.attributes.get_float("beta", 1.0)
    if contents.ndim != 1:
        raise WeightsNotFoldableError(f"the bias of {node.name} is no vector")
    return contents
