"""Pass `recognise-activations`: functions that exporters spell out become the operators that they are."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.activation_patterns import SPELLINGS, Spelling
from edgec.passes.expression import Match, find
from edgec.passes.graph_edit import Names, all_nodes, insert_before, opset_of, remove_unused, replace_value
from edgec.passes.node_writer import NodeWriter


class RecogniseActivations(Pass):
    """Replace known expressions by ONNX operators; the spellings stand in `activation_patterns`.

    Case 1: HardSigmoid and HardSwish from Add, Clip, Div and Mul (Paddle, older torch); before opset 14 HardSwish
        is x·HardSigmoid(x).
    Case 2: Sigmoid, SiLU (as x·Sigmoid(x)), Softplus and Softmax from Exp.
    Case 3: Clip from Min, Max and Relu with bounds.
    Case 4: Gelu (exact and tanh), Mish, LayerNormalization. If the model's operator set is too old for the operator, it
        is raised, provided that no node of the model changes its meaning; otherwise the expression stays.

    An expression stays if a value within it is read from outside.
    """

    name: ClassVar[str] = "recognise-activations"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Replace in place."""
        found: Counter[str] = Counter()
        skipped: list[Skip] = []
        names = Names(model)
        by_root: dict[str, list[Spelling]] = {}
        for spelling in SPELLINGS:
            by_root.setdefault(spelling.pattern.op_type, []).append(spelling)
        while True:
            before = found.total()
            skipped = []
            for node in all_nodes(model):
                if node.graph is not None and node.domain == "":
                    _recognise(model, node, by_root.get(node.op_type, []), names, found, skipped)
            if found.total() == before:
                break
        return PassResult(model, modified=bool(found), stats=dict(sorted(found.items())), skipped=tuple(skipped))


def _recognise(
    model: ir.Model,
    node: ir.Node,
    spellings: list[Spelling],
    names: Names,
    found: Counter[str],
    skipped: list[Skip],
) -> None:
    for spelling in spellings:
        match = find(spelling.pattern, node)
        if match is None:
            continue
        if spelling.opset > opset_of(model):
            changing = raise_opset(model, spelling.opset)
            if changing:
                reason = f"{spelling.function} needs opset {spelling.opset}, which would change {', '.join(changing)}"
                skipped.append(Skip(str(node.name), reason))
                continue
        if _replace(model, node, spelling, match, names):
            found[spelling.function] += 1
            return


def _replace(model: ir.Model, node: ir.Node, spelling: Spelling, match: Match, names: Names) -> bool:
    write = NodeWriter(model, names, str(node.name))
    result = spelling.build(write, match)
    if result is None:
        return False
    output = node.outputs[0]
    for made in write.nodes:
        made.outputs[0].type, made.outputs[0].shape = output.type, output.shape
    insert_before(node, write.nodes)
    replace_value(output, result, names)
    # An inner node can only go when its readers are gone, and the order of a match is not that of the graph.
    for _ in match.nodes:
        remove_unused(match.nodes)
    return True


def raise_opset(model: ir.Model, opset: int) -> list[str]:
    """Import a newer standard operator set if every node means the same in it; else the operators that change."""
    import onnx

    old = opset_of(model)
    changing = []
    for op_type in sorted({node.op_type for node in all_nodes(model) if node.domain == ""}):
        try:
            versions = [onnx.defs.get_schema(op_type, version, "").since_version for version in (old, opset)]
        except onnx.defs.SchemaError:
            changing.append(op_type)
            continue
        if versions[0] != versions[1]:
            changing.append(op_type)
    if not changing:
        model.opset_imports[""] = opset
        for graph in model.graphs():
            graph.opset_imports[""] = opset
    return changing
