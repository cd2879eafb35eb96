"""Pass `lower-functions`: operators that ONNX defines by other operators become those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import onnx_ir as ir
from pydantic import Field

from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.passes.fold_constants import fold_constants
from edgec.passes.graph_edit import nodes_of, opset_of
from edgec.passes.library_pass import run_library_pass
from edgec.passes.merge_initializers import lift_constants
from edgec.passes.normalise_graph import name_nodes
from edgec.passes.shape_inference import infer_shapes

if TYPE_CHECKING:
    import onnx

_DOMAIN = "edgec.expanded"

_SELDOM_LOWERED = (
    "AffineGrid",
    "Attention",
    "NegativeLogLikelihoodLoss",
    "RotaryEmbedding",
    "SoftmaxCrossEntropyLoss",
)


class LowerFunctionsOptions(PassOptions):
    """Options of `lower-functions`."""

    operators: tuple[str, ...] = Field(
        default=_SELDOM_LOWERED, description="operator types to expand; each must be defined as a function by ONNX"
    )


class LowerFunctions(Pass):
    """Replace a node by the function body that the ONNX standard gives for its operator, then fold constants.

    Case 1: the body belongs to the operator.
    Case 2: the body depends on the node: on its attributes, the types of its inputs, and which of them are there.
    Case 3: the standard has bodies for several operator sets: the newest one is taken whose operators mean the same in
        the model's operator set.
    Case 4: a body may contain operators that are to be expanded themselves; they are, in turn.

    Source: the function bodies in the operator schemas of the onnx package.
    """

    name: ClassVar[str] = "lower-functions"
    kind: ClassVar[Kind] = Kind.EXACT
    Options: ClassVar[type[PassOptions]] = LowerFunctionsOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Expand in place.

        Raises:
            EdgecError: EC0315 if a body cannot be inserted.
        """
        options = self.options
        operators = options.operators if isinstance(options, LowerFunctionsOptions) else _SELDOM_LOWERED
        expanded = 0
        while found := _expand_once(model, operators):
            expanded += found
        if expanded:
            name_nodes(model)
            lift_constants(model)
            infer_shapes(model)
            fold_constants(model)
        skipped = tuple(
            Skip(str(node.name), f"ONNX defines {node.op_type} by no function that fits opset {opset_of(model)}")
            for node in nodes_of(model, *operators)
        )
        return PassResult(model, modified=expanded > 0, stats={"expanded": expanded}, skipped=skipped)


def _expand_once(model: ir.Model, operators: tuple[str, ...]) -> int:
    """Expand every node of the given types that has a fitting body; their number."""
    from onnx_ir.passes.common import InlinePass

    expanded = 0
    for node in nodes_of(model, *operators):
        function = _function_for(node, opset_of(model))
        if function is None:
            continue
        # Each call gets a function of its own, because bodies may depend on the node.
        name = f"{node.op_type}_{expanded}"
        model.functions[_DOMAIN, name, ""] = ir.Function(
            _DOMAIN, name, graph=function.graph, attributes=list(function.attributes.values())
        )
        _spell_out_defaults(node, opset_of(model))
        node.op_type, node.domain = name, _DOMAIN
        _name_after(node, function)
        expanded += 1
    if expanded:
        model.opset_imports[_DOMAIN] = 1
        run_library_pass(InlinePass(), model)
        model.opset_imports.pop(_DOMAIN, None)
    return expanded


def _name_after(node: ir.Node, function: ir.Function) -> None:
    """Name the nodes and values of a body after the node that it replaces."""
    for number, inner in enumerate(function, start=1):
        inner.name = f"{node.name}/{inner.op_type}" if number == 1 else f"{node.name}/{inner.op_type}_{number}"
        for value in inner.outputs:
            if value.name:
                value.name = f"{node.name}.{value.name}"


def _spell_out_defaults(node: ir.Node, opset: int) -> None:
    """Add attributes with their default values: bodies refer to them by name."""
    import onnx

    for name, attribute in onnx.defs.get_schema(node.op_type, opset, "").attributes.items():
        if name not in node.attributes and attribute.default_value.name:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)


def _function_for(node: ir.Node, opset: int) -> ir.Function | None:
    """Cases 1 to 3: the body for a node; None if the standard has none that fits."""
    import onnx

    try:
        schema = _schema(node.op_type, opset)
    except onnx.defs.SchemaError:
        return None
    versions = {*schema.function_opset_versions, *schema.context_dependent_function_opset_versions}
    for version in sorted(versions, key=lambda v: (v > opset, abs(opset - v))):
        proto = _body(schema, node, version)
        if proto is None or not proto.node or not _yields(proto, node):
            continue
        if all(_means_the_same(inner.op_type, version, opset) for inner in proto.node if inner.domain == ""):
            for imported in proto.opset_import:
                if imported.domain == "":
                    imported.version = opset
            return ir.serde.deserialize_function(proto)
    return None


def _body(schema: Any, node: ir.Node, version: int) -> onnx.FunctionProto | None:  # noqa: ANN401  as `_schema`
    import onnx

    proto = onnx.FunctionProto()
    if version in schema.function_opset_versions:
        proto.ParseFromString(schema.get_function_with_opset_version(version))
        return proto
    types = []
    for value in node.inputs:
        type_proto = onnx.TypeProto()
        if value is not None:
            if value.type is None:
                return None
            type_proto = ir.serde.serialize_type(value.type)
            if value.shape is not None:
                ir.serde.serialize_shape_into(type_proto, value.shape)
        types.append(type_proto.SerializeToString())
    serialized = ir.serde.serialize_node(node).SerializeToString()
    proto.ParseFromString(schema.get_context_dependent_function_with_opset_version(version, serialized, types))
    return proto


def _yields(proto: onnx.FunctionProto, node: ir.Node) -> bool:
    """Cut the outputs of a body to those that the node has; whether the body makes each of them."""
    made = {name for inner in proto.node for name in inner.output} | set(proto.input)
    wanted = list(proto.output)[: len(node.outputs)]
    del proto.output[:]
    proto.output.extend(wanted)
    return len(wanted) == len(node.outputs) and made.issuperset(wanted)


def _schema(op_type: str, opset: int) -> Any:  # noqa: ANN401  onnx's stubs lack the methods for function bodies
    import onnx

    return onnx.defs.get_schema(op_type, opset, "")


def _means_the_same(op_type: str, version: int, opset: int) -> bool:
    import onnx

    try:
        schemas = [onnx.defs.get_schema(op_type, v, "") for v in (version, opset)]
    except onnx.defs.SchemaError:
        return False
    return schemas[0].since_version == schemas[1].since_version or _only_types_added(*schemas)


def _only_types_added(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    """Whether two versions of an operator have the same inputs, outputs and attributes: new versions add types then."""
    return (
        [value.name for value in old.inputs] == [value.name for value in new.inputs]
        and [value.name for value in old.outputs] == [value.name for value in new.outputs]
        and set(old.attributes) <= set(new.attributes)
        and not any(attribute.required for name, attribute in new.attributes.items() if name not in old.attributes)
    )
