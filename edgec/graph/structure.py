"""Checks that a parsed ONNX model is a network: names, order, operators, attributes and tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]

from edgec.core.codes.model import MODEL_DAMAGED, MODEL_FEATURE, MODEL_VERSION, NOT_ONNX
from edgec.core.errors import EdgecError
from edgec.graph.weights import check_tensor

OLDEST_OPSET = 7
LARGEST_EXTENT = 2**31 - 1
LARGEST_EXPANSION = 1_000_000
"""Nodes that a model may have once its functions are expanded."""

_EXPORT_AGAIN = "the file seems altered: export the model again"
_ONNX_DOMAINS = ("", "ai.onnx")


def check_structure(model: onnx.ModelProto) -> None:
    """Check everything that the reader of the model relies on; extents of −1 are turned into open dimensions.

    Nodes in the wrong order are let through: sorting them, or finding the cycle, is left to the caller.

    Raises:
        EdgecError: EC0202, EC0203, EC0205 or EC0206.
    """
    _check_text(model)
    opsets = _check_versions(model)
    functions = {(function.domain, function.name) for function in model.functions}
    checker = _GraphChecker(opsets, functions)
    for value in model.graph.input:
        if value.type.WhichOneof("value") in (None, "tensor_type") and not value.type.tensor_type.elem_type:
            what = f"the input `{value.name}` has no element type"
            raise EdgecError(MODEL_DAMAGED, what, where=value.name, hint=_EXPORT_AGAIN)
    checker.check_graph(model.graph, frozenset(), "the graph")
    for function in model.functions:
        own = {entry.domain: entry.version for entry in function.opset_import}
        inner = _GraphChecker(opsets | own, functions, in_function=True)
        inner.check_nodes(function.node, set(function.input), f"function {function.name}")
        checker.unsupported += inner.unsupported
    _check_expansion(model)
    if checker.unsupported:
        hint = "check the spelling of the operators, or export the model for another opset"
        count = len(checker.unsupported)
        what = checker.unsupported[0] + (f" (and {count - 1} more)" if count > 1 else "")
        raise EdgecError(MODEL_FEATURE, what, hint=hint, details=tuple(checker.unsupported))


def _check_text(message: Message) -> None:
    """Check that every name is text: the parser hands out bytes where it is not UTF-8."""
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            for child in [value] if isinstance(value, Message) else value:
                _check_text(child)
        elif descriptor.type == FieldDescriptor.TYPE_STRING:
            for text in [value] if isinstance(value, str | bytes) else value:
                if isinstance(text, bytes):
                    what = f"the {descriptor.name} {text[:40]!r} is not text in UTF-8"
                    raise EdgecError(MODEL_DAMAGED, what, hint=_EXPORT_AGAIN)


def _check_versions(model: onnx.ModelProto) -> dict[str, int]:
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise EdgecError(NOT_ONNX, "the file holds no graph", hint="give the .onnx file that the exporter wrote")
    if not 3 <= model.ir_version <= onnx.IR_VERSION:
        what = f"the format version (ir_version) is {model.ir_version}; edgec reads 3 to {onnx.IR_VERSION}"
        raise EdgecError(MODEL_VERSION, what, hint="export the model again with a current exporter")
    opsets: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if opsets.setdefault(domain, entry.version) != entry.version:
            what = f"the operator set `{domain or 'ai.onnx'}` is imported in two versions"
            raise EdgecError(MODEL_DAMAGED, what, hint=_EXPORT_AGAIN)
    if not opsets:
        raise EdgecError(MODEL_DAMAGED, "the model imports no operator set (opset_import)", hint=_EXPORT_AGAIN)
    newest = onnx.defs.onnx_opset_version()
    if "" in opsets and not OLDEST_OPSET <= opsets[""] <= newest:
        what = f"the model uses opset {opsets['']}; edgec reads {OLDEST_OPSET} to {newest}"
        raise EdgecError(MODEL_VERSION, what, hint=f"convert it with onnx.version_converter to opset {min(newest, 17)}")
    return opsets


class _GraphChecker:
    """Checks graphs with the operator sets and functions of one model; collects operators that do not exist."""

    def __init__(self, opsets: dict[str, int], functions: set[tuple[str, str]], *, in_function: bool = False) -> None:
        self._opsets = opsets
        self._functions = functions
        self._in_function = in_function
        self.unsupported: list[str] = []

    def check_graph(self, graph: onnx.GraphProto, outer: Iterable[str], where: str) -> None:
        """Check one graph and those inside it; `outer` are the names that it may use from around it."""
        if graph.sparse_initializer:
            hint = "export the model with dense weights"
            raise EdgecError(MODEL_FEATURE, f"{where} has sparse weights", where=where, hint=hint)
        for value in (*graph.input, *graph.output):
            _check_border(value, where)
        for value in graph.value_info:
            _check_extents(value, where)
        inputs = _unique((value.name for value in graph.input), "input", where)
        weights = _unique((tensor.name for tensor in graph.initializer), "weight", where)
        for tensor in graph.initializer:
            check_tensor(tensor, f"weight `{tensor.name}`")
        known = self.check_nodes(graph.node, inputs | weights, where, outer)
        if not graph.output:
            raise EdgecError(MODEL_DAMAGED, f"{where} has no outputs", where=where, hint=_EXPORT_AGAIN)
        for name in sorted(_unique((value.name for value in graph.output), "output", where)):
            if name not in known and name not in outer:
                what = f"nothing computes the output `{name}` of {where}"
                raise EdgecError(MODEL_DAMAGED, what, where=name, hint=_EXPORT_AGAIN)

    def check_nodes(
        self, nodes: Iterable[onnx.NodeProto], known: set[str], where: str, outer: Iterable[str] = ()
    ) -> set[str]:
        """Check nodes; every name that they compute, with the `known` ones."""
        nodes = list(nodes)
        made = set(known)
        for number, node in enumerate(nodes):
            place = describe(node, number)
            for name in filter(None, node.output):
                if name in made:
                    what = f"`{name}` is computed twice, again by {place}"
                    raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
                made.add(name)
        visible = made.union(outer)
        for number, node in enumerate(nodes):
            place = describe(node, number)
            for name in filter(None, node.input):
                if name not in visible:
                    what = f"{place} uses `{name}`, which nothing computes"
                    raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            self._check_node(node, place, visible)
        return made

    def _check_node(self, node: onnx.NodeProto, place: str, visible: set[str]) -> None:
        domain = "" if node.domain in _ONNX_DOMAINS else node.domain
        if not node.op_type:
            raise EdgecError(MODEL_DAMAGED, f"{place} names no operator", where=place, hint=_EXPORT_AGAIN)
        if (node.domain, node.op_type) not in self._functions:
            if domain not in self._opsets:
                what = f"{place} is of the operator set `{domain or 'ai.onnx'}`, which the model does not import"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            if domain == "":
                self._check_operator(node, place)
        _unique((attribute.name for attribute in node.attribute), "attribute", place)
        for attribute in node.attribute:
            for tensor in tensors_of(attribute):
                check_tensor(tensor, f"attribute `{attribute.name}` of {place}")
            for graph in graphs_of(attribute):
                self.check_graph(graph, visible, f"the `{attribute.name}` of {place}")

    def _check_operator(self, node: onnx.NodeProto, place: str) -> None:
        version = self._opsets[""]
        schema = _schema(node.op_type, version)
        if schema is None or schema.deprecated:
            self.unsupported.append(f"{place}: opset {version} has no operator `{node.op_type}`")
            return
        counts = (
            ("inputs", len(node.input), schema.min_input, schema.max_input),
            ("outputs", len(node.output), schema.min_output, schema.max_output),
        )
        for what, got, low, high in counts:
            if not low <= got <= high:
                message = f"{place} has {got} {what}; {node.op_type} takes {low} to {high}"
                raise EdgecError(MODEL_DAMAGED, message, where=place, hint=_EXPORT_AGAIN)
        self._check_attributes(node, schema, place)

    def _check_attributes(self, node: onnx.NodeProto, schema: onnx.defs.OpSchema, place: str) -> None:
        for attribute in node.attribute:
            declared = schema.attributes.get(attribute.name)
            if declared is None:
                what = f"{place} has the attribute `{attribute.name}`, which {node.op_type} does not know"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            if attribute.ref_attr_name and not self._in_function:
                what = f"{place} refers to an attribute `{attribute.ref_attr_name}` outside of a function"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            if attribute.type != declared.type.value:  # type: ignore[attr-defined]
                what = f"the attribute `{attribute.name}` of {place} is not of the type that {node.op_type} wants"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            if not _is_text(attribute):
                what = f"the attribute `{attribute.name}` of {place} is not text in UTF-8"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
            if not attribute.ref_attr_name and not _holds_value(attribute):
                what = f"the attribute `{attribute.name}` of {place} has no value"
                raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)
        given = {attribute.name for attribute in node.attribute}
        missing = [name for name, declared in schema.attributes.items() if declared.required and name not in given]
        if missing:
            what = f"{place} lacks the attribute `{missing[0]}`"
            raise EdgecError(MODEL_DAMAGED, what, where=place, hint=_EXPORT_AGAIN)


_VALUE_FIELDS = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.TENSOR: "t",
    onnx.AttributeProto.GRAPH: "g",
    onnx.AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    onnx.AttributeProto.TYPE_PROTO: "tp",
}


def _holds_value(attribute: onnx.AttributeProto) -> bool:
    field = _VALUE_FIELDS.get(attribute.type)
    return field is None or attribute.HasField(field)


def _is_text(attribute: onnx.AttributeProto) -> bool:
    try:
        for text in (attribute.s, *attribute.strings):
            text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def describe(node: onnx.NodeProto, number: int) -> str:
    """How a message names a node: its name, or its number if it has none."""
    return f"node `{node.name}` ({node.op_type})" if node.name else f"node {number} ({node.op_type})"


def tensors_of(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that an attribute holds."""
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors


def graphs_of(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    """Every graph that an attribute holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


@lru_cache(maxsize=1024)
def _schema(op_type: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:
        return None


def _unique(names: Iterable[str], kind: str, where: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            what = f"{where} has two {kind}s called `{name}`" if name else f"{where} has an {kind} without a name"
            raise EdgecError(MODEL_DAMAGED, what, where=where, hint=_EXPORT_AGAIN)
        seen.add(name)
    return seen


def _check_border(value: onnx.ValueInfoProto, where: str) -> None:
    """Check an input or output of a graph; one without any type is left to shape inference."""
    kind = value.type.WhichOneof("value")
    if kind not in (None, "tensor_type"):
        hint = "export the network alone, with plain tensors as inputs and outputs"
        what = f"`{value.name}` of {where} is not a tensor but a {str(kind).removesuffix('_type')}"
        raise EdgecError(MODEL_FEATURE, what, where=value.name, hint=hint)
    element = value.type.tensor_type.elem_type
    if element == onnx.TensorProto.STRING:
        hint = "move text processing out of the model and export the network alone"
        raise EdgecError(MODEL_FEATURE, f"`{value.name}` of {where} is text", where=value.name, hint=hint)
    if element not in onnx.TensorProto.DataType.values():
        what = f"`{value.name}` of {where} has the unknown element type {element}"
        raise EdgecError(MODEL_DAMAGED, what, where=value.name, hint=_EXPORT_AGAIN)
    _check_extents(value, where)


def _check_extents(value: onnx.ValueInfoProto, where: str) -> None:
    elements = 1
    for dimension in value.type.tensor_type.shape.dim:
        # Some exporters write −1 for an open dimension.
        if dimension.HasField("dim_value") and dimension.dim_value == -1:
            dimension.ClearField("dim_value")
        if not 0 <= dimension.dim_value <= LARGEST_EXTENT:
            what = f"`{value.name}` of {where} has an extent of {dimension.dim_value}"
            raise EdgecError(MODEL_DAMAGED, what, where=value.name, hint=_EXPORT_AGAIN)
        elements *= max(1, dimension.dim_value)
    if elements > 2**40:
        what = f"`{value.name}` of {where} has {elements} elements"
        raise EdgecError(MODEL_DAMAGED, what, where=value.name, hint=_EXPORT_AGAIN)


def _check_expansion(model: onnx.ModelProto) -> None:
    """Refuse functions that call each other so often that expanding them would fill the memory, or without end."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], float] = {}

    def size(nodes: Iterable[onnx.NodeProto], path: tuple[tuple[str, str], ...]) -> float:
        return sum(node_size(node, path) for node in nodes)

    def node_size(node: onnx.NodeProto, path: tuple[tuple[str, str], ...]) -> float:
        key = (node.domain, node.op_type)
        inner = sum(size(graph.node, path) for attribute in node.attribute for graph in graphs_of(attribute))
        if key not in bodies:
            return 1 + inner
        if key in path:
            return math.inf
        if key not in sizes:
            sizes[key] = size(bodies[key].node, (*path, key))
        return sizes[key]

    try:
        total = size(model.graph.node, ())
    except RecursionError:
        total = math.inf
    if total > LARGEST_EXPANSION:
        what = (
            f"the functions of the model expand to more than {LARGEST_EXPANSION} nodes, or call each other without end"
        )
        raise EdgecError(MODEL_DAMAGED, what, hint=_EXPORT_AGAIN)
