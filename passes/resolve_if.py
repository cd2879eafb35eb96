"""Pass `resolve-if`: an If whose condition is known becomes the branch that is taken."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.fold_constants import fold_constants
from edgec.passes.graph_edit import Names, constant, graph_of, input_of, nodes_of, replace_value
from edgec.passes.shape_inference import infer_shapes


class ResolveIf(Pass):
    """Inline the branch that a constant condition selects.

    Case 1: the nodes and initializers of the branch move in front of the If, under fresh names where theirs are
        taken; the branch's outputs replace those of the If.
    Case 2: a branch that hands back a value of an outer graph, an initializer or one value twice needs no node,
        unless the result is an output of the graph.
    Case 3: what the branch computed may decide further conditions: shapes are inferred and constants folded, and the
        search begins anew, until no condition is constant.
    """

    name: ClassVar[str] = "resolve-if"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Resolve in place."""
        resolved = 0
        while found := _resolve_once(model):
            resolved += found
            infer_shapes(model)
            fold_constants(model)
        skipped = tuple(Skip(str(node.name), "its condition is computed at run time") for node in nodes_of(model, "If"))
        return PassResult(model, modified=resolved > 0, stats={"resolved": resolved}, skipped=skipped)


def _resolve_once(model: ir.Model) -> int:
    """Inline every If of known condition that is not inside another such If; their number."""
    resolved = 0
    names = Names(model)
    for node in nodes_of(model, "If"):
        condition = constant(input_of(node, 0))
        if condition is None or condition.size != 1 or node.graph is None:
            continue
        attribute = node.attributes.get("then_branch" if bool(condition.reshape(())) else "else_branch")
        if attribute is None or len(attribute.as_graph().outputs) != len(node.outputs):
            continue
        branch = attribute.as_graph()
        _make_distinct(model, branch, names)
        _inline(node, branch, names)
        resolved += 1
    return resolved


def _make_distinct(model: ir.Model, branch: ir.Graph, names: Names) -> None:
    """Rename what in a branch bears the name of something elsewhere in the model."""
    uses: Counter[str] = Counter()
    for graph in model.graphs():
        uses.update(str(value.name) for value in graph.inputs)
        uses.update(name for name, value in graph.initializers.items() if not value.is_graph_input())
        uses.update(str(output.name) for node in graph for output in node.outputs)
    values = [*branch.initializers.values(), *(output for node in branch for output in node.outputs)]
    for value in values:
        if value.name and uses[value.name] > 1:
            uses[value.name] -= 1
            value.name = names.fresh(value.name)


def _inline(node: ir.Node, branch: ir.Graph, names: Names) -> None:
    graph = graph_of(node)
    results = list(branch.outputs)
    branch.outputs.clear()
    for name in list(branch.initializers):
        value = branch.initializers.pop(name)
        graph.register_initializer(value)
    moved = list(branch)
    branch.remove(moved)
    graph.insert_before(node, moved)
    for output, result in zip(node.outputs, results, strict=True):
        replace_value(output, result, names)
    graph.remove(node, safe=True)
