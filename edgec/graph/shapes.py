"""Shapes of a model: inference without a copy of its weights, and the dimensions that are open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgec.core.codes.model import SHAPES_CONTRADICT
from edgec.core.errors import EdgecError
from edgec.graph.quiet import quiet_onnx_ir

if TYPE_CHECKING:
    import onnx

SMALL_BYTES = 1024
"""Weights up to this size take part in inference: they may be shapes, axes or scales."""


@dataclass(frozen=True)
class OpenDimension:
    """A dimension of an input that the model leaves open.

    Attributes:
        input: name of the input.
        axis: number of the axis.
        symbol: name of the dimension, empty if it has none.
    """

    input: str
    axis: int
    symbol: str


def open_dimensions(model: ir.Model) -> tuple[OpenDimension, ...]:
    """The dimensions of inputs that have no fixed extent; an input without a shape counts with axis −1."""
    found: list[OpenDimension] = []
    for value in model_inputs(model):
        if value.shape is None:
            found.append(OpenDimension(str(value.name), -1, ""))
            continue
        for axis, dimension in enumerate(value.shape):
            if not isinstance(dimension, int):
                found.append(OpenDimension(str(value.name), axis, str(dimension.value or "")))
    return tuple(found)


def model_inputs(model: ir.Model) -> list[ir.Value]:
    """The inputs that a caller must give: those without a weight as their default."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of a value if every extent is known, else None."""
    if value is None or value.shape is None:
        return None
    extents = tuple(dimension for dimension in value.shape if isinstance(dimension, int))
    return extents if len(extents) == len(value.shape) else None


def infer_shapes(model: ir.Model, *, strict: bool = True) -> None:
    """Fill in types and shapes of all values, in place, with ONNX's own inference.

    Shapes that the file records for inner values and outputs are kept where they agree with what follows from the
    inputs. Where they contradict it they are forgotten, as ONNX Runtime does, since they have no bearing on results.

    Args:
        model: any model.
        strict: whether to refuse what contradicts the standard. A pass in the middle of a rewrite is lenient: it may
            hold nodes that a later step spells for the model's opset.

    Raises:
        EdgecError: EC0207 where an operator cannot take the types or shapes that it is given.
    """
    with quiet_onnx_ir():
        light = _light_proto(model)
    try:
        inferred = _inferred(light, strict)
    except EdgecError:
        _forget_recorded_shapes(light.graph)
        inferred = _inferred(light, strict)
        for graph in model.graphs():
            for node in graph:
                for output in node.outputs:
                    output.shape = None
    result = ir.from_proto(inferred)
    for graph, filled in zip(model.graphs(), result.graphs(), strict=True):
        _take_over(graph, filled)


def _inferred(light: onnx.ModelProto, strict: bool) -> onnx.ModelProto:
    from onnx.shape_inference import InferenceError
    from onnx.shape_inference import infer_shapes as infer

    try:
        return infer(light, check_type=strict, strict_mode=strict, data_prop=True)
    except (InferenceError, RuntimeError, ValueError) as error:
        if _fault_of_onnx(str(error)):
            return infer(light, check_type=False, strict_mode=False, data_prop=True)
        what = _first_line(str(error))
        hint = "export the model again; if you gave --shape, try the shape that it was trained with"
        raise EdgecError(SHAPES_CONTRADICT, what, hint=hint) from error


def _fault_of_onnx(message: str) -> bool:
    """Whether strict inference fails inside a function body that ONNX itself supplies.

    The body of MeanVarianceNormalization has a Constant whose value depends on an attribute, which inference refuses
    whatever the model. The error names the operator first, then the node of the body.
    """
    from onnx import defs

    operators = re.findall(r"\(op_type:(\w+)", message)
    if len(operators) < 2:
        return False
    try:
        schema = defs.get_schema(operators[0])
    except defs.SchemaError:
        return False
    return bool(schema.all_function_opset_versions)  # type: ignore[attr-defined]  # onnx's stub lacks it


def _forget_recorded_shapes(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _forget_recorded_shapes(body)


def without_large_weights(model: ir.Model, limit_bytes: int = SMALL_BYTES) -> ir.Model:
    """A copy in which weights of more than `limit_bytes` are inputs of known type and shape."""
    light = model.clone()
    for value in list(light.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= limit_bytes:
            continue
        value.dtype, value.shape = tensor.dtype, ir.Shape(tensor.shape.numpy())
        if not value.is_graph_input():
            light.graph.inputs.append(value)
        light.graph.initializers.pop(str(value.name))
        value.const_value = None
    return light


def _light_proto(model: ir.Model) -> onnx.ModelProto:
    """The model as a message in which large weights are inputs of known type and shape."""
    light = without_large_weights(model)
    _constants_to_inputs(light.graph)
    proto = ir.to_proto(light)
    _hand_down_constants(proto.graph, {})
    return proto


def _constants_to_inputs(graph: ir.Graph) -> None:
    """Turn large Constant nodes, in which some exporters keep the weights, into inputs."""
    for node in list(graph):
        attribute = node.attributes.get("value")
        if node.op_type != "Constant" or attribute is None or attribute.type != ir.AttributeType.TENSOR:
            continue
        tensor, output = attribute.as_tensor(), node.outputs[0]
        if tensor.nbytes <= SMALL_BYTES or output.is_graph_output():
            continue
        type_and_shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
        weight = ir.Value(name=output.name, type=type_and_shape[0], shape=type_and_shape[1])
        ir.convenience.replace_all_uses_with(output, weight)
        graph.remove(node, safe=True)
        graph.inputs.append(weight)


def _hand_down_constants(graph: onnx.GraphProto, outer: Mapping[str, onnx.TensorProto]) -> None:
    """Give every body its own copy of the small constants that it uses from around it.

    ONNX's inference knows only the types of values from around a body, so that axes, pads and shapes would be lost.
    """
    own = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t") and attribute.t.ByteSize() <= 2 * SMALL_BYTES:
                own[node.output[0]] = attribute.t
    made = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
    used = {name for node in graph.node for name in node.input}
    for name in sorted(used & outer.keys() - own.keys() - made):
        graph.initializer.add().CopyFrom(outer[name])
        graph.initializer[-1].name = name
    visible = {name: tensor for name, tensor in outer.items() if name not in made} | own
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _hand_down_constants(body, visible)


def _take_over(graph: ir.Graph, filled: ir.Graph) -> None:
    for value in graph.initializers.values():
        if value.const_value is not None and value.is_graph_output():
            value.type, value.shape = ir.TensorType(value.const_value.dtype), ir.Shape(value.const_value.shape.numpy())
    sources = {output.name: output for node in filled for output in node.outputs}
    for node in graph:
        held = node.attributes.get("value") if node.op_type == "Constant" else None
        if held is not None and held.type == ir.AttributeType.TENSOR:
            tensor = held.as_tensor()
            node.outputs[0].type, node.outputs[0].shape = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy())
        for output in node.outputs:
            source = sources.get(output.name)
            if source is None:
                continue
            if source.shape is not None:
                output.shape = source.shape
            if source.type is not None:
                output.type = source.type


def _first_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (lines[0] if lines else "shape inference failed")[:400]
