"""Pass `merge-initializers`: every constant is an initializer of the main graph, and equal ones are one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.graph_edit import Names, all_nodes, constant, graph_of, nodes_of, replace_value

_PROBE = 256
"""Elements compared first: constants of one size seldom begin alike, so most are never read as a whole."""


class MergeInitializers(Pass):
    """Turn Constant nodes into initializers and keep one of those that are equal bit for bit.

    Case 1: a Constant node becomes an initializer of the main graph, also out of a branch or body; `value_float` and
        its like too. A Constant that is an output of its graph stays.
    Case 2: initializers of branches and bodies move to the main graph.
    Case 3: initializers of equal type, shape and bits become one: the first in the order of the file.
    Case 4: initializers stand in the order in which nodes first read them, so that equal models are equal files.
    """

    name: ClassVar[str] = "merge-initializers"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Merge in place."""
        lifted, skipped = lift_constants(model)
        moved = _move_to_main_graph(model)
        merged, freed = _merge(model)
        _order_by_first_use(model)
        return PassResult(
            model,
            modified=bool(lifted or moved or merged),
            stats={"constants to initializers": lifted, "moved": moved, "merged": merged, "freed bytes": freed},
            skipped=tuple(skipped),
        )


def lift_constants(model: ir.Model) -> tuple[int, list[Skip]]:
    """Case 1: in place; how many were lifted, and those that stay."""
    names = Names(model)
    lifted, skipped = 0, []
    for node in nodes_of(model, "Constant"):
        output = node.outputs[0]
        tensor = ir.convenience.get_const_tensor(output) if "sparse_value" not in node.attributes else None
        if tensor is None:
            skipped.append(Skip(str(node.name), "a sparse constant"))
            continue
        if output.is_graph_output():
            skipped.append(Skip(str(node.name), "the constant is an output of its graph"))
            continue
        name = str(output.name)
        output.name = names.fresh(f"{name}.constant")
        value = ir.Value(
            name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        if name in model.graph.initializers:
            value.name = names.fresh(name)
        model.graph.register_initializer(value)
        replace_value(output, value, names)
        graph_of(node).remove(node, safe=True)
        lifted += 1
    return lifted, skipped


def _move_to_main_graph(model: ir.Model) -> int:
    """Case 2."""
    names: Names | None = None
    moved = 0
    for graph in list(model.graphs()):
        if graph is model.graph:
            continue
        for name, value in list(graph.initializers.items()):
            if value.is_graph_output() or value.is_graph_input():
                continue
            names = names or Names(model)
            graph.initializers.pop(name)
            if name in model.graph.initializers or _names_a_value(model.graph, name):
                value.name = names.fresh(name)
            model.graph.register_initializer(value)
            moved += 1
    return moved


def _names_a_value(graph: ir.Graph, name: str) -> bool:
    return any(value.name == name for value in graph.inputs) or any(
        output.name == name for node in graph for output in node.outputs
    )


def _merge(model: ir.Model) -> tuple[int, int]:
    """Case 3; the number of initializers that went and their bytes."""
    groups: dict[tuple[object, ...], list[ir.Value]] = defaultdict(list)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.dtype.is_string() or value.is_graph_output() or value.is_graph_input():
            continue
        groups[tensor.dtype, tuple(tensor.shape)].append(value)
    merged = freed = 0
    for alike in groups.values():
        for probed in _split(alike, whole=False):
            for equal in _split(probed, whole=True):
                for duplicate in equal[1:]:
                    freed += duplicate.const_value.nbytes if duplicate.const_value is not None else 0
                    duplicate.replace_all_uses_with(equal[0])
                    del model.graph.initializers[str(duplicate.name)]
                    merged += 1
    return merged, freed


def _order_by_first_use(model: ir.Model) -> None:
    """Case 4."""
    initializers = model.graph.initializers
    read = [value for node in all_nodes(model) for value in node.inputs if value is not None]
    ordered = {str(value.name): value for value in read if initializers.get(str(value.name)) is value}
    ordered |= {name: value for name, value in initializers.items() if name not in ordered}
    initializers.clear()
    initializers.update(ordered)


def _split(values: list[ir.Value], *, whole: bool) -> list[list[ir.Value]]:
    """Groups of two or more that agree in a digest of all elements, or of the first ones."""
    if len(values) < 2:
        return []
    groups: dict[bytes, list[ir.Value]] = defaultdict(list)
    for value in values:
        contents = constant(value)
        if contents is None:
            continue
        part = contents if whole else contents.reshape(-1)[:_PROBE]
        groups[hashlib.sha256(np.ascontiguousarray(part).tobytes()).digest()].append(value)
    return [group for group in groups.values() if len(group) > 1]
