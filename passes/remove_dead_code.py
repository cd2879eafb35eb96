"""Pass `remove-dead-code`: nodes, initializers, functions and operator sets that nobody uses."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult
from edgec.passes.graph_edit import all_nodes, opset_of
from edgec.passes.library_pass import run_library_pass


class RemoveDeadCode(Pass):
    """Remove what does not contribute to an output of the model; inputs stay, used or not.

    Case 1: a node none of whose outputs is read, in the graph and in every body.
    Case 2: an initializer that nobody reads.
    Case 3: trailing optional outputs that nobody reads (a Dropout's mask).
    Case 4: functions and imported operator sets without a use; the standard one stays.
    """

    name: ClassVar[str] = "remove-dead-code"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Remove in place."""
        nodes, initializers = remove_dead_code(model)
        return PassResult(
            model,
            modified=bool(nodes or initializers),
            stats={"removed nodes": nodes, "removed initializers": initializers},
        )


def remove_dead_code(model: ir.Model) -> tuple[int, int]:
    """Remove in place; the number of nodes and of initializers that went."""
    from onnx_ir.passes.common import RemoveUnusedFunctionsPass, RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

    nodes_before, initializers_before = len(all_nodes(model)), _initializers(model)
    opset = opset_of(model)
    unused_functions = RemoveUnusedFunctionsPass()  # type: ignore[no-untyped-call]
    for library_pass in (RemoveUnusedNodesPass(), unused_functions, RemoveUnusedOpsetsPass()):
        run_library_pass(library_pass, model)
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
                del graph.initializers[name]
    model.opset_imports.setdefault("", opset)
    return nodes_before - len(all_nodes(model)), initializers_before - _initializers(model)


def _initializers(model: ir.Model) -> int:
    return sum(len(graph.initializers) for graph in model.graphs())
