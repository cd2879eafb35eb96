"""Pass `fold-constants`: what can be computed at compile time is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.passes.graph_edit import add_constant, all_nodes, bodies_of, constant, graph_of, static_shape
from edgec.passes.library_pass import run_library_pass
from edgec.passes.remove_dead_code import remove_dead_code

_KEPT = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
"""Folding these away would lose the quantisation that a backend wants to see."""

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}

_NEVER_GROW = frozenset(
    (
        *("Cast", "Compress", "NonMaxSuppression", "NonZero", "Reshape"),
        *("Slice", "Squeeze", "TopK", "Transpose", "Unique", "Unsqueeze"),
    )
)

_TOO_LARGE = "folding would store {produced} elements in place of {freed}, beyond the limit of {limit}"

Verdict = Callable[[ir.Node], bool]


class FoldConstantsOptions(PassOptions):
    """Options of `fold-constants`."""

    growth_limit: int = Field(
        default=1 << 20,
        ge=0,
        description="elements that a folded result may have beyond those of the constants that it makes superfluous",
    )


class FoldConstants(Pass):
    """Evaluate nodes whose inputs are constants, and Shape and Size of static shapes, until nothing changes.

    Case 1: Shape, Size, and arithmetic on extents; needs `static-shapes` first.
    Case 2: any deterministic node with constant inputs, several outputs included. It is evaluated by ONNX's
        reference implementation.
    Case 3: sequences that are built and taken apart in the graph (SplitToSequence, SequenceAt, ConcatFromSequence).
    Case 4: a result larger than the constants that it frees by more than `growth_limit` elements is not stored: a
        ConstantOfShape of a kilobyte must not become a weight of hundreds of megabytes.
    Case 5: QuantizeLinear and DequantizeLinear stay: they tell a backend the scheme.

    The folding itself is onnxscript's `FoldConstantsPass`; If is left to `resolve-if`.
    """

    name: ClassVar[str] = "fold-constants"
    kind: ClassVar[Kind] = Kind.EXACT
    Options: ClassVar[type[PassOptions]] = FoldConstantsOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold in place.

        Raises:
            EdgecError: EC0315 for a node that contradicts the ONNX standard.
        """
        options = self.options
        limit = (
            options.growth_limit if isinstance(options, FoldConstantsOptions) else FoldConstantsOptions().growth_limit
        )
        before = len(all_nodes(model))
        modified, skipped = fold_constants(model, limit)
        return PassResult(
            model, modified=modified, stats={"folded nodes": before - len(all_nodes(model))}, skipped=tuple(skipped)
        )


def fold_constants(model: ir.Model, growth_limit: int = 1 << 20) -> tuple[bool, list[Skip]]:
    """Fold in place to a fixpoint; whether anything changed, and the constant nodes that stay."""
    reasons: dict[ir.Node, str] = {}

    def verdict(node: ir.Node) -> bool:
        reason = _reason_against(node, growth_limit)
        if reason:
            reasons[node] = reason
        return not reason

    modified = False
    while True:
        before = _population(model)
        changed = run_library_pass(_folder(verdict), model)
        _take_shapes_of_contents(model)
        remove_dead_code(model)
        modified = modified or changed
        if not changed or _population(model) == before:
            break
    _forget_provenance(model)
    skipped = [
        Skip(str(node.name), reasons.get(node, f"{node.op_type} of constants cannot be evaluated at compile time"))
        for node in all_nodes(model)
        if _is_candidate(node)
    ]
    return modified, skipped


def _take_shapes_of_contents(model: ir.Model) -> None:
    """Give constants the shape of their contents: inference leaves that of NonZero and its like open."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())


def _population(model: ir.Model) -> list[tuple[str, str]]:
    return [(node.op_type, ",".join(str(value.name) for value in node.inputs if value)) for node in all_nodes(model)]


def _is_candidate(node: ir.Node) -> bool:
    """Whether a node reads nothing but constants and is no case of its own."""
    if node.op_type in _KEPT | _RANDOM | {"Constant"} or next(bodies_of(node), None) is not None or not node.inputs:
        return False
    return all(value is None or (value.const_value is not None and not value.is_graph_input()) for value in node.inputs)


def _reason_against(node: ir.Node, growth_limit: int) -> str:
    """Why a node with constant inputs is not evaluated; empty if it is."""
    if node.domain == "" and node.op_type in _KEPT:
        return "kept for the backend: it states the quantisation"
    if node.domain == "" and node.op_type in _RANDOM:
        return "random"
    constants = [value for value in node.inputs if value is not None and value.const_value is not None]
    freed = sum(_elements(value) for value in set(constants) if {user for user, _ in value.uses()} == {node})
    produced = 0
    for output in node.outputs:
        shape = static_shape(output)
        if shape is None and output.name and not _never_grows(node):
            return "the size of its result cannot be inferred"
        produced += math.prod(shape) if shape is not None else max(map(_elements, constants), default=0)
    if produced > freed + growth_limit:
        return _TOO_LARGE.format(produced=produced, freed=freed, limit=growth_limit)
    return ""


def _never_grows(node: ir.Node) -> bool:
    """Operators whose result has no more elements than their largest input, whatever ONNX infers about it."""
    return node.op_type in _NEVER_GROW


def _elements(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0


def _folder(verdict: Verdict) -> ir.passes.PassBase:
    """One sweep of onnxscript's folding with our verdict, our case 2 for several outputs, and If left alone."""
    from onnxscript.optimizer import _constant_folding as library

    class Folder(library.FoldConstantsPass):  # type: ignore[misc]
        def process_node(self, node: ir.Node, is_function: bool) -> object:
            if node.domain == "" and node.op_type == "If":
                return None
            replacement = super().process_node(node, is_function)
            if replacement is not None or len(node.outputs) < 2 or not _is_candidate(node) or not verdict(node):
                return replacement
            values = _evaluate(node, self._opset_imports.get(node.domain, 1))
            return None if values is None else library.Replacement(values, [])

    folder: ir.passes.PassBase = Folder(
        shape_inference=True, input_size_limit=1 << 62, output_size_limit=1 << 62, should_fold=verdict
    )
    return folder


def _evaluate(node: ir.Node, opset: int) -> list[ir.Value] | None:
    """The outputs of a node with several of them as new initializers; None if they cannot be computed."""
    from onnxscript.optimizer._constant_folding import ReferenceEvaluator

    attributes = {
        name: ir.serde.serialize_tensor(attribute.as_tensor())
        if attribute.type == ir.AttributeType.TENSOR
        else attribute.value
        for name, attribute in node.attributes.items()
    }
    arrays = [constant(value) for value in node.inputs]
    if node.op_type == "Split" and len(arrays) == 1 and "split" not in attributes:
        sizes = [(static_shape(output) or (0,))[attributes.get("axis", 0)] for output in node.outputs]
        attributes.pop("num_outputs", None)
        if opset < 13:
            attributes["split"] = sizes
        else:
            arrays.append(np.array(sizes, dtype=np.int64))
    results = ReferenceEvaluator().evaluate(node.domain, node.op_type, opset, *arrays, **attributes)
    if not isinstance(results, tuple | list) or len(results) != len(node.outputs):
        return None
    if not all(isinstance(result, np.ndarray) for result in results):
        return None
    graph = graph_of(node)
    return [
        add_constant(graph, f"{output.name}.folded", result)
        for output, result in zip(node.outputs, results, strict=True)
    ]


def _forget_provenance(model: ir.Model) -> None:
    """Drop the notes of origin that the library attaches to folded values: they grow with the depth of the folding."""
    from onnxscript.optimizer import FOLDED_FROM_KEY

    for graph in model.graphs():
        values = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
        for value in values:
            value.meta.pop(FOLDED_FROM_KEY, None)
            value.metadata_props.pop(FOLDED_FROM_KEY, None)
