"""From quantized graphs in QDQ form to nodes that compute in integers.

A node between DequantizeLinear and QuantizeLinear becomes the operator on integers of ONNX (QLinearConv, QLinearMatMul)
or of ONNX Runtime (QGemm, QLinearAdd, …) that computes the same. ONNX Runtime does so when it loads a model, hence the
results agree with it but for rounding. What cannot be computed in integers stays as it is, for a stated reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.backends.plan import Fallback
from edgec.backends.tvm.integer.quantization import (
    Quantized,
    StaysFloatError,
    Weights,
    contents_of,
    is_dequantized,
    is_quantized_output,
    quantized_bias,
    quantized_input,
    quantized_output,
    quantized_weights,
)
from edgec.backends.tvm.integer.real_output import real_convolution, real_product, real_product_with_weights
from edgec.passes.graph_edit import Names, add_constant, constant, input_of, scalar, static_shape
from edgec.passes.node_writer import NodeWriter
from edgec.passes.remove_dead_code import remove_dead_code

_RUNTIME_DOMAIN = "com.microsoft"
_INTEGER_OPSET = 18
"""Version of the standard operators that are written here."""

_MOVERS = (
    *("DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice"),
    *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
)
"""Operators whose output elements are elements of their input."""


@dataclass(frozen=True)
class IntegerForm:
    """A model in which whatever can be computed in integers is.

    Attributes:
        model: the model.
        formed: names of the nodes that became integer nodes.
        floats: the nodes that read quantized values and stay float, with the reason.
    """

    model: ir.Model
    formed: tuple[str, ...]
    floats: tuple[Fallback, ...]


def form_integer_nodes(model: ir.Model) -> IntegerForm:
    """A copy of a model with its QDQ nodes in integer form; the model itself if it is not quantized."""
    if not any(node.op_type == "DequantizeLinear" for node in model.graph):
        return IntegerForm(model, (), ())
    copy = model.clone()
    copy.opset_imports.setdefault(_RUNTIME_DOMAIN, 1)
    forming = _Forming(copy)
    for node in list(copy.graph):
        forming.visit(node)
    remove_dead_code(copy)
    return IntegerForm(copy, tuple(forming.formed), tuple(forming.floats))


class _Forming:
    """One sweep over the outermost graph of a model."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._graph = model.graph
        self._names = Names(model)
        self._rules: dict[str, Callable[[ir.Node], None]] = {
            "Conv": self._convolution,
            "Gemm": self._general_product,
            "MatMul": self._product,
            "Add": self._binary,
            "Mul": self._binary,
            "GlobalAveragePool": self._mean,
            "AveragePool": self._mean,
            "ReduceMean": self._reduced_mean,
            "Concat": self._concatenation,
            "Relu": self._activation,
            "Clip": self._activation,
            **dict.fromkeys(_MOVERS, self._movement),
        }
        self.formed: list[str] = []
        self.floats: list[Fallback] = []

    def visit(self, node: ir.Node) -> None:
        """Form one node, or note why it stays float; nothing happens to nodes that read no quantized values."""
        if node.graph is not self._graph or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return
        if node.domain not in ("", "ai.onnx") or not any(is_dequantized(value) for value in node.inputs):
            return
        name = str(node.name or node.outputs[0].name)
        try:
            rule = self._rules.get(node.op_type)
            if rule is None:
                raise StaysFloatError(f"there are no integer kernels for {node.op_type}")
            rule(node)
        except StaysFloatError as error:
            hint = "the result is right; quantize what is named, or accept the cost of float"
            self.floats.append(Fallback(node=name, reason=f"stays float: {error}", hint=hint))
            return
        self.formed.append(name)

    def _convolution(self, node: ir.Node) -> None:
        x, weights = quantized_input(input_of(node, 0), "input"), quantized_weights(input_of(node, 1), 0)
        outputs = int(contents_of(weights.integers).shape[0])
        bias = quantized_bias(input_of(node, 2), x.step * weights.steps, outputs)
        if not is_quantized_output(node.outputs[0]):
            self._put_real(node, lambda writer: real_convolution(writer, node, x, weights, bias))
            return
        result, activations = quantized_output(node.outputs[0])
        operands = [*_operand(x), *self._weights(node, weights), result.scale, result.zero_point]
        operands += self._constants(node, "bias", bias)
        made = self._new("QLinearConv", operands, node)
        self._replace(node, made, result, activations)

    def _general_product(self, node: ir.Node) -> None:
        attributes = node.attributes
        if attributes.get_float("alpha", 1.0) != 1.0 or attributes.get_float("beta", 1.0) != 1.0:
            raise StaysFloatError("its alpha or beta is not 1")
        if attributes.get_int("transA", 0):
            raise StaysFloatError("its left side is transposed")
        axis = 0 if attributes.get_int("transB", 0) else 1
        x, weights = quantized_input(input_of(node, 0), "input"), quantized_weights(input_of(node, 1), axis)
        outputs = int(contents_of(weights.integers).shape[axis])
        bias = quantized_bias(input_of(node, 2), x.step * weights.steps, outputs)
        if not is_quantized_output(node.outputs[0]):
            self._put_real(node, lambda writer: real_product_with_weights(writer, node, x, weights, bias))
            return
        result, activations = quantized_output(node.outputs[0])
        operands: list[ir.Value | None] = [*_operand(x), *self._weights(node, weights)]
        operands += self._constants(node, "bias", bias) or [None]
        made = self._new("QGemm", [*operands, result.scale, result.zero_point], node, _RUNTIME_DOMAIN)
        self._replace(node, made, result, activations)

    def _product(self, node: ir.Node) -> None:
        left, right = quantized_input(input_of(node, 0), "left side"), self._right_side(node)
        if not is_quantized_output(node.outputs[0]):
            if isinstance(right, Weights):
                self._put_real(node, lambda writer: real_product_with_weights(writer, node, left, right, None))
            else:
                self._put_real(node, lambda writer: real_product(writer, node, left, right))
            return
        result, activations = quantized_output(node.outputs[0])
        operands = self._weights(node, right) if isinstance(right, Weights) else _operand(right)
        made = self._new("QLinearMatMul", [*_operand(left), *operands, result.scale, result.zero_point], node)
        self._replace(node, made, result, activations)

    def _binary(self, node: ir.Node) -> None:
        left, right = (quantized_input(input_of(node, place), f"input {place}") for place in (0, 1))
        result, activations = quantized_output(node.outputs[0])
        _require_same_type([left], result)
        operands = [*_operand(left), *_operand(right), result.scale, result.zero_point]
        made = self._new(f"QLinear{node.op_type}", operands, node, _RUNTIME_DOMAIN)
        self._replace(node, made, result, activations)

    def _mean(self, node: ir.Node) -> None:
        x = quantized_input(input_of(node, 0), "input")
        result, activations = quantized_output(node.outputs[0])
        _require_same_type([x], result)
        operands = [*_operand(x), result.scale, result.zero_point]
        made = self._new(f"QLinear{node.op_type}", operands, node, _RUNTIME_DOMAIN)
        self._replace(node, made, result, activations)

    def _reduced_mean(self, node: ir.Node) -> None:
        """A mean over all spatial axes is a global average pooling."""
        x = quantized_input(input_of(node, 0), "input")
        result, activations = quantized_output(node.outputs[0])
        _require_same_type([x], result)
        shape, extents = static_shape(node.inputs[0]), static_shape(node.outputs[0])
        axes = node.attributes.get_ints("axes") or constant(input_of(node, 1))
        if shape is None or extents is None or axes is None:
            raise StaysFloatError("its axes are computed at run time")
        if sorted(int(axis) % len(shape) for axis in axes) != list(range(2, len(shape))):
            raise StaysFloatError("its mean is not over all spatial axes")
        operands = [*_operand(x), result.scale, result.zero_point]
        name = str(node.name or node.op_type)
        pooled = ir.node(
            "QLinearGlobalAveragePool", operands, domain=_RUNTIME_DOMAIN, version=1, name=self._names.fresh(name)
        )
        self._name_outputs(node, [pooled])
        target = self._constants(node, "extents", np.array(extents, np.int64))
        made = self._new("Reshape", [pooled.outputs[0], *target], None)
        self._replace(node, made, result, activations, before=[pooled])

    def _concatenation(self, node: ir.Node) -> None:
        parts = [quantized_input(value, f"input {place}") for place, value in enumerate(node.inputs)]
        result, activations = quantized_output(node.outputs[0])
        before: list[ir.Node] = []
        operands = []
        for part in parts:
            converted, nodes = self._converted(part, result)
            operands.append(converted)
            before += nodes
        self._name_outputs(node, before)
        made = self._new("Concat", operands, node)
        self._replace(node, made, result, activations, before=before)

    def _movement(self, node: ir.Node) -> None:
        """Elements that only change place do so as integers; they are converted afterwards if the schemes differ."""
        x = quantized_input(input_of(node, 0), "input")
        others = [output for output in node.outputs[1:] if list(output.uses()) or output.is_graph_output()]
        if others or (len(node.outputs) > 1 and node.op_type == "Split"):
            raise StaysFloatError("it has several outputs")
        result, activations = quantized_output(node.outputs[0])
        moved = self._new(node.op_type, [x.integers, *node.inputs[1:]], node)
        self._convert_and_replace(node, moved, x, result, activations)

    def _activation(self, node: ir.Node) -> None:
        x = quantized_input(input_of(node, 0), "input")
        result, activations = quantized_output(node.outputs[0])
        before, last = self._conversion(x, result)
        low, high = _limits(result, [node, *activations])
        clamped, steps = self._clamped(last, result, (low, high), str(node.name or ""))
        if not before and not steps:
            steps = [self._new("Identity", [x.integers], node)]
            clamped = steps[-1].outputs[0]
        self._name_outputs(node, [*before, *steps])
        self._put(node, clamped, result, activations, [*before, *steps])

    def _convert_and_replace(
        self, node: ir.Node, made: ir.Node, given: Quantized, result: Quantized, activations: Sequence[ir.Node]
    ) -> None:
        if given.same_scheme(result):
            self._replace(node, made, result, activations)
            return
        moved = Quantized(made.outputs[0], given.scale, given.zero_point)
        after, last = self._conversion(moved, result)
        low, high = _limits(result, activations)
        clamped, steps = self._clamped(last, result, (low, high), str(node.name or ""))
        self._name_outputs(node, [made, *after, *steps])
        self._put(node, clamped, result, activations, [made, *after, *steps])

    def _converted(self, given: Quantized, wanted: Quantized) -> tuple[ir.Value, list[ir.Node]]:
        nodes, last = self._conversion(given, wanted)
        return last, nodes

    def _conversion(self, given: Quantized, wanted: Quantized) -> tuple[list[ir.Node], ir.Value]:
        """Nodes that turn integers of one scheme into those of another, and their result."""
        if given.same_scheme(wanted):
            return [], given.integers
        real = self._new("DequantizeLinear", _operand(given), None)
        integers = self._new("QuantizeLinear", [real.outputs[0], wanted.scale, wanted.zero_point], None)
        return [real, integers], integers.outputs[0]

    def _clamped(
        self, value: ir.Value, scheme: Quantized, bounds: tuple[int, int], name: str
    ) -> tuple[ir.Value, list[ir.Node]]:
        """Nodes that limit integers to some bounds, where these are narrower than the type."""
        limits, nodes = np.iinfo(scheme.dtype), []
        for op_type, bound, superfluous in (
            ("Max", bounds[0], bounds[0] <= limits.min),
            ("Min", bounds[1], bounds[1] >= limits.max),
        ):
            if not superfluous:
                limit = add_constant(self._graph, self._names.fresh(f"{name}.limit"), np.array(bound, scheme.dtype))
                nodes.append(self._new(op_type, [value, limit], None))
                value = nodes[-1].outputs[0]
        return value, nodes

    def _right_side(self, node: ir.Node) -> Weights | Quantized:
        """The right side of a matrix product: constant columns, or a value computed at run time."""
        value = input_of(node, 1)
        producer = None if value is None else value.producer()
        integers = constant(input_of(producer, 0)) if producer is not None and is_dequantized(value) else None
        if integers is None or integers.ndim != 2:
            return quantized_input(value, "right side")
        return quantized_weights(value, 1)

    def _weights(self, node: ir.Node, weights: Weights) -> list[ir.Value]:
        """Weights with their scale and zero point, which is written down if the model leaves it out."""
        zero_point = weights.zero_point
        if zero_point is None:
            zeros = np.zeros(contents_of(weights.scale).shape, contents_of(weights.integers).dtype)
            (zero_point,) = self._constants(node, "zero_point", zeros)
        return [weights.integers, weights.scale, zero_point]

    def _put_real(self, node: ir.Node, write: Callable[[NodeWriter], ir.Value]) -> None:
        """Put nodes whose result is real in the place of one."""
        writer = NodeWriter(self._model, self._names, f"{node.name or node.outputs[0].name}.integers")
        last = write(writer)
        ir.convenience.replace_nodes_and_values(self._graph, node, [node], writer.nodes, [node.outputs[0]], [last])

    def _constants(self, node: ir.Node, role: str, contents: np.ndarray | None) -> list[ir.Value]:
        if contents is None:
            return []
        wanted = f"{node.name or node.outputs[0].name}.{role}"
        return [add_constant(self._graph, self._names.fresh(wanted), contents)]

    def _new(
        self,
        op_type: str,
        operands: Iterable[ir.Value | None],
        source: ir.Node | None,
        domain: str = "",
    ) -> ir.Node:
        """A node with the name and the attributes of the one that it stands for, if any."""
        attributes = [] if source is None else list(source.attributes.values())
        name = self._names.fresh(op_type) if source is None else source.name
        same = source is not None and op_type == source.op_type
        version = 1 if domain else source.version if same and source is not None else _INTEGER_OPSET
        return ir.Node(domain, op_type, list(operands), attributes, name=name, version=version)

    def _name_outputs(self, source: ir.Node, nodes: Sequence[ir.Node]) -> None:
        for node in nodes:
            for output in node.outputs:
                output.name = self._names.fresh(f"{source.outputs[0].name}.integers")

    def _replace(
        self,
        node: ir.Node,
        made: ir.Node,
        result: Quantized,
        activations: Sequence[ir.Node],
        before: Sequence[ir.Node] = (),
    ) -> None:
        """Put a node that makes the output's integers in the place of the nodes up to QuantizeLinear."""
        clamped, steps = self._clamped(
            made.outputs[0], result, _limits(result, activations), str(node.name or node.op_type)
        )
        self._name_outputs(node, [made, *steps])
        self._put(node, clamped, result, activations, [*before, made, *steps])

    def _put(
        self,
        node: ir.Node,
        last: ir.Value,
        result: Quantized,
        activations: Sequence[ir.Node],
        nodes: Sequence[ir.Node],
    ) -> None:
        quantizing = result.integers.producer()
        if quantizing is None:
            raise StaysFloatError("its output is not quantized")
        old = [node, *activations, quantizing]
        ir.convenience.replace_nodes_and_values(self._graph, quantizing, old, nodes, [result.integers], [last])


def _operand(value: Quantized) -> list[ir.Value]:
    return [value.integers, value.scale, value.zero_point]


def _require_same_type(inputs: Sequence[Quantized], result: Quantized) -> None:
    if any(given.dtype != result.dtype for given in inputs):
        raise StaysFloatError(f"its input and its output are quantized to different types ({result.dtype} out)")


def _limits(scheme: Quantized, activations: Sequence[ir.Node]) -> tuple[int, int]:
    """The integers between which activations keep a value."""
    limits = np.iinfo(scheme.dtype)
    low, high = int(limits.min), int(limits.max)
    for node in activations:
        least, most = _real_limits(node)
        low = low if least is None else max(low, scheme.quantize(least))
        high = high if most is None else min(high, scheme.quantize(most))
    return low, high


def _real_limits(node: ir.Node) -> tuple[float | None, float | None]:
    if node.op_type == "Relu":
        return 0.0, None
    bounds: list[float | None] = []
    for place, name in ((1, "min"), (2, "max")):
        given = input_of(node, place)
        bound = scalar(given) if given is not None else node.attributes.get_float(name, None)
        if given is not None and bound is None:
            raise StaysFloatError("the bounds of its Clip are computed at run time")
        bounds.append(bound)
    return bounds[0], bounds[1]
