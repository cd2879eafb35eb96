"""Puts a plan of quantization into a model: QuantizeLinear and DequantizeLinear, or QONNX's Quant."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import ml_dtypes
import numpy as np
import onnx_ir as ir

from edgec.core.codes.quantization import QUANTIZED_FORM_MISSING
from edgec.core.errors import EdgecError
from edgec.graph.editing import Names, add_constant
from edgec.graph.opset import raise_opset
from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.graph.quantization_qonnx import QONNX_DOMAIN, add_functions, quant_node

_FIRST_OPSET = 13
"""The first with scales for each channel."""

_FOUR_BIT_OPSET = 21


class Dialect(StrEnum):
    """How a quantized model is spelt."""

    QDQ = "qdq"
    QONNX = "qonnx"


def write_quantization(
    model: ir.Model, plan: QuantizationPlan, *, dialect: Dialect = Dialect.QDQ, four_bit_types: bool = False
) -> ir.Model:
    """The model with every value and weight of the plan quantized.

    Every reader of a planned value, outputs of the model included, reads what quantization leaves of it. In QDQ, biases
    become int32 in steps of input scale times weight scale where the input of the node is planned too; ranges that are
    narrower than their type are kept by a Clip in front, which integer kernels take into their saturation. In QONNX
    biases are the real numbers that QDQ's int32 ones stand for, so that both compute the same.

    Args:
        model: changed in place, unless its opset must be raised (to 13, or 21 for four-bit types).
        plan: names that the model lacks are an error.
        dialect: QDQ for compilers, QONNX for hls4ml.
        four_bit_types: store weights of up to four bits as (u)int4 rather than as eight-bit integers.

    Raises:
        EdgecError: EC0341 for what the dialect lacks or the model has not, EC0342 where the opset cannot be raised.
    """
    wanted = _FOUR_BIT_OPSET if four_bit_types and dialect is Dialect.QDQ else _FIRST_OPSET
    model = raise_opset(model, wanted)
    writer = _Writer(model, plan, dialect, four_bit_types)
    # Weights first: the scale of a bias is found by the name of the input that quantization then replaces.
    for name, weights in plan.weights.items():
        writer.put_weights(name, weights)
    for name, quantizer in plan.values.items():
        writer.put_value(name, quantizer)
    if dialect is Dialect.QONNX:
        add_functions(model)
    _remove_unread_constants(model.graph)
    return model


class _Writer:
    def __init__(self, model: ir.Model, plan: QuantizationPlan, dialect: Dialect, four_bit_types: bool) -> None:
        self._graph = model.graph
        self._plan = plan
        self._dialect = dialect
        self._four_bit_types = four_bit_types
        self._names = Names(model)
        self._nodes = {str(node.name): node for node in model.graph}
        self._values = {str(value.name): value for value in model.graph.inputs}
        self._values.update({str(value.name): value for node in model.graph for value in node.outputs})

    def put_weights(self, name: str, weights: QuantizedWeights) -> None:
        node = self._nodes.get(name)
        if node is None or len(node.inputs) < 2 or node.inputs[1] is None:
            raise _missing(f"the model has no node `{name}` with weights")
        old, quantizer = node.inputs[1], weights.quantizer
        prefix = str(old.name)
        if self._dialect is Dialect.QONNX:
            numbers = add_constant(
                self._graph, self._names.fresh(f"{prefix}.rounded"), quantizer.dequantize(weights.integers)
            )
            made = [quant_node(numbers, quantizer, self._constant, prefix, rank=weights.integers.ndim)]
        else:
            _check_affine(quantizer, prefix, of_weights=True)
            made = [self._dequantize(self._integers(prefix, weights), quantizer, prefix)]
        self._insert(node, made, old)
        node.replace_input_with(1, made[-1].outputs[0])
        self._put_bias(node, weights)

    def _put_bias(self, node: ir.Node, weights: QuantizedWeights) -> None:
        old = node.inputs[2] if len(node.inputs) > 2 else None
        bias = weights.bias
        if bias is None and old is not None and old.const_value is not None and not old.is_graph_input():
            bias = old.const_value.numpy()
        if bias is None or bias.dtype != np.float32:
            return
        prefix = str(old.name) if old is not None else f"{node.name}.bias"
        read = node.inputs[0]
        given = None if read is None else self._plan.values.get(str(read.name))
        if given is None or given.axis is not None or bias.ndim > 1:
            value = self._constant(prefix, bias)
        else:
            scale = np.broadcast_to(given.scale * weights.quantizer.scale, bias.shape).astype(np.float32)
            value = self._rounded_bias(node, bias, scale, prefix)
        if old is None and len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, value)

    def _rounded_bias(self, node: ir.Node, bias: np.ndarray, scale: np.ndarray, prefix: str) -> ir.Value:
        """A bias in whole steps of the sums: dequantized from int32, or in QONNX the numbers that this gives."""
        limits = np.iinfo(np.int32)
        steps = np.clip(np.rint(bias.astype(np.float64) / scale), limits.min, limits.max).astype(np.int32)
        if self._dialect is Dialect.QONNX:
            return self._constant(f"{prefix}.rounded", steps.astype(np.float32) * scale)
        operands = [self._constant(f"{prefix}.integers", steps), self._constant(f"{prefix}.scale", scale.copy())]
        axis = {"axis": 0} if bias.ndim else {}
        made = ir.node("DequantizeLinear", operands, axis, name=self._names.fresh(f"{prefix}/DequantizeLinear"))
        self._insert(node, [made], None)
        result = made.outputs[0]
        result.shape, result.type = ir.Shape(bias.shape), ir.TensorType(ir.DataType.FLOAT)
        return result

    def put_value(self, name: str, quantizer: Quantizer) -> None:
        value = self._values.get(name)
        if value is None:
            raise _missing(f"the model has no value `{name}`")
        readers, is_output = list(value.uses()), value.is_graph_output()
        if self._dialect is Dialect.QONNX:
            rank = 0 if value.shape is None else len(value.shape)
            made = [quant_node(value, quantizer, self._constant, name, rank=rank)]
        else:
            _check_affine(quantizer, name, of_weights=False)
            made = self._quantize(value, quantizer, name)
        producer = value.producer()
        for node in made:
            node.outputs[0].name = self._names.fresh(f"{name}.{node.op_type}")
            node.outputs[0].shape = value.shape
        made[-1].outputs[0].type = value.type
        if producer is not None:
            self._graph.insert_after(producer, made)
        else:
            self._graph.insert_before(self._graph[0], made)
        result = made[-1].outputs[0]
        for reader, place in readers:
            reader.replace_input_with(place, result)
        if is_output:
            self._take_over_output(value, result)

    def _take_over_output(self, value: ir.Value, result: ir.Value) -> None:
        """The quantized value becomes the output of the model, with its name; an input that is one keeps both."""
        if value.producer() is None:
            return
        name = value.name
        value.name = self._names.fresh(f"{name}.unquantized")
        result.name = name
        for index, output in enumerate(self._graph.outputs):
            if output is value:
                self._graph.outputs[index] = result

    def _quantize(self, value: ir.Value, quantizer: Quantizer, prefix: str) -> list[ir.Node]:
        made: list[ir.Node] = []
        given = value
        if not quantizer.fills_its_type:
            limits = quantizer.dequantize(np.array([quantizer.low, quantizer.high]))
            bounds = [self._constant(f"{prefix}.{role}", np.array(limits[i])) for i, role in enumerate(("low", "high"))]
            made.append(ir.node("Clip", [given, *bounds], name=self._names.fresh(f"{prefix}/Clip")))
            given = made[-1].outputs[0]
            given.type = value.type
        scale, zero_point = self._scheme(quantizer, prefix)
        axis = {} if quantizer.axis is None else {"axis": quantizer.axis}
        made.append(
            ir.node(
                "QuantizeLinear", [given, scale, zero_point], axis, name=self._names.fresh(f"{prefix}/QuantizeLinear")
            )
        )
        made[-1].outputs[0].type = ir.TensorType(ir.DataType.from_numpy(quantizer.dtype))
        operands = [made[-1].outputs[0], scale, zero_point]
        return [
            *made,
            ir.node("DequantizeLinear", operands, axis, name=self._names.fresh(f"{prefix}/DequantizeLinear")),
        ]

    def _dequantize(self, integers: ir.Value, quantizer: Quantizer, prefix: str) -> ir.Node:
        scale, zero_point = self._scheme(quantizer, prefix, integers.dtype)
        axis = {} if quantizer.axis is None else {"axis": quantizer.axis}
        operands = [integers, scale, zero_point]
        return ir.node("DequantizeLinear", operands, axis, name=self._names.fresh(f"{prefix}/DequantizeLinear"))

    def _scheme(self, quantizer: Quantizer, prefix: str, dtype: ir.DataType | None = None) -> tuple[ir.Value, ir.Value]:
        kind = quantizer.dtype if dtype is None else dtype.numpy()
        zero_point = quantizer.zero_point.astype(kind)
        return (
            self._constant(f"{prefix}.scale", quantizer.scale),
            self._constant(f"{prefix}.zero_point", zero_point),
        )

    def _integers(self, prefix: str, weights: QuantizedWeights) -> ir.Value:
        contents = np.ascontiguousarray(weights.integers)
        if self._four_bit_types and weights.quantizer.bits <= 4:
            contents = contents.astype(ml_dtypes.int4 if weights.quantizer.signed else ml_dtypes.uint4)
        return self._constant(f"{prefix}.integers", contents)

    def _constant(self, wanted: str, contents: np.ndarray) -> ir.Value:
        return add_constant(self._graph, self._names.fresh(wanted), contents)

    def _insert(self, before: ir.Node, nodes: Sequence[ir.Node], old: ir.Value | None) -> None:
        for node in nodes:
            node.outputs[0].name = self._names.fresh(f"{node.name}.output")
            if old is not None:
                node.outputs[0].shape, node.outputs[0].type = old.shape, old.type
        self._graph.insert_before(before, list(nodes))


def _check_affine(quantizer: Quantizer, name: str, *, of_weights: bool) -> None:
    """Bipolar weights are affine integers, −1 and +1; what turns numbers into the sign of them is not."""
    if quantizer.bipolar and not of_weights:
        raise _missing(f"`{name}` has one bit for −1 and +1, which QuantizeLinear cannot make")


def _missing(what: str) -> EdgecError:
    return EdgecError(QUANTIZED_FORM_MISSING, what, hint=QUANTIZED_FORM_MISSING.remedy)


def _remove_unread_constants(graph: ir.Graph) -> None:
    """The real-valued weights, once nobody reads them."""
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
            del graph.initializers[name]


__all__ = ["QONNX_DOMAIN", "Dialect", "write_quantization"]
