"""Pass `normalise-graph`: unique names, one spelling of the standard domain, no default inputs."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.graph_edit import Names, all_nodes


class NormaliseGraph(Pass):
    """Bring a model into the form that every other pass relies on.

    Case 1: a node without a name, or with the name of an earlier one, is named after its first output and its
        operator: `features/Conv`. The names are the same in every run.
    Case 2: two values of one name (legal in sibling branches) are told apart by a number; inputs and outputs of the
        model keep theirs.
    Case 3: the domain `ai.onnx` is spelled as the empty string.
    Case 4: an initializer that is listed as an input (usual before IR version 4) is a default that a caller may
        override. edgec compiles the default in: the input goes, and a `Skip` says so.
    """

    name: ClassVar[str] = "normalise-graph"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Normalise in place."""
        respelled = _spell_domains(model)
        fixed = _compile_defaults_in(model)
        renamed_values = _name_values(model)
        renamed = name_nodes(model)
        for skip in fixed:
            context.progress.note(f"{skip.node}: {skip.reason}")
        return PassResult(
            model,
            modified=bool(renamed or fixed or respelled or renamed_values),
            stats={"named nodes": renamed, "renamed values": renamed_values, "default inputs compiled in": len(fixed)},
            skipped=tuple(fixed),
        )


def _spell_domains(model: ir.Model) -> bool:
    """Case 3."""
    changed = False
    if "ai.onnx" in model.opset_imports:
        model.opset_imports[""] = model.opset_imports.pop("ai.onnx")
        changed = True
    for node in all_nodes(model):
        if node.domain == "ai.onnx":
            node.domain = ""
            changed = True
    return changed


def _compile_defaults_in(model: ir.Model) -> list[Skip]:
    """Case 4."""
    defaults = {value for value in model.graph.initializers.values() if value.is_graph_input()}
    if not defaults:
        return []
    kept = [value for value in model.graph.inputs if value not in defaults]
    named = [str(value.name) for value in model.graph.inputs if value in defaults]
    model.graph.inputs.clear()
    model.graph.inputs.extend(kept)
    return [
        Skip(name, "an input with a default value: compiled in as a constant, no longer an input") for name in named
    ]


def _name_values(model: ir.Model) -> int:
    """Case 2; the number of values that got a new name."""
    names = Names(model)
    kept = {id(value) for value in (*model.graph.inputs, *model.graph.outputs)}
    seen = {str(value.name) for value in (*model.graph.inputs, *model.graph.outputs)}
    renamed = 0
    for graph in model.graphs():
        own_inputs = list(graph.inputs)
        defaults = {id(value) for value in own_inputs}
        values = [*own_inputs, *(value for value in graph.initializers.values() if id(value) not in defaults)]
        for node in graph:
            values += [output for output in node.outputs if output.name or output.uses() or output.is_graph_output()]
        for value in values:
            if id(value) in kept:
                continue
            if not value.name or value.name in seen:
                producer = value.producer()
                value.name = names.fresh(value.name or f"{producer.op_type if producer else graph.name}.value")
                renamed += 1
            seen.add(str(value.name))
    return renamed


def name_nodes(model: ir.Model) -> int:
    """Case 1; the number of nodes that got a new name."""
    nodes = all_nodes(model)
    taken: set[str] = set()
    unnamed: list[ir.Node] = []
    for node in nodes:
        if not node.name or node.name in taken:
            unnamed.append(node)
        else:
            taken.add(node.name)
    for node in unnamed:
        output = next((value.name for value in node.outputs if value.name), "")
        wanted = f"{output}/{node.op_type}" if output else node.op_type
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        node.name = name
        taken.add(name)
    return len(unnamed)
