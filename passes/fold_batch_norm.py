"""Pass `fold-batch-norm`: per-channel scales and shifts disappear in the weights next to them."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.channel_affine import Affine, NotAffineError, batch_norm_affine, elementwise_affine
from edgec.passes.graph_edit import (
    Names,
    add_constant,
    graph_of,
    insert_before,
    nodes_of,
    only_consumer,
    remove_unused,
    replace_value,
)
from edgec.passes.remove_dead_code import remove_dead_code
from edgec.passes.weighted_node import WeightedNode, WeightsNotFoldableError


class FoldBatchNorm(Pass):
    """Fold y = scale·x + shift per channel into a neighbour with constant weights.

    The arithmetic is done in double precision and rounded once to the type of the weights.

    Case 1: BatchNormalization after Conv, ConvTranspose, Gemm, or a MatMul with or without Add, whose result nobody
        else reads. Weights that other nodes share are copied, not changed.
    Case 2: Mul, Div, Add or Sub of a per-channel constant after one of these: exporters spell a normalisation so.
        An Add after a MatMul is its bias and stays.
    Case 3: BatchNormalization before a Conv without padding, or before a Gemm, as the only reader. With padding only if
        the shift is 0, because the padding is not shifted.
    Case 4: any other BatchNormalization becomes a Mul and an Add by constants.

    In training mode (also: more than one output before opset 14) and with parameters computed at run time a
    BatchNormalization stays. Source of cases 1 and 3: Jacob et al., Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference, 2018, section 3.2.
    """

    name: ClassVar[str] = "fold-batch-norm"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Fold in place."""
        names = Names(model)
        stats = {"into weights": 0, "into following weights": 0, "to Mul and Add": 0}
        skipped: list[Skip] = []
        for node in nodes_of(model, "BatchNormalization", "Mul", "Div", "Add", "Sub"):
            is_norm = node.op_type == "BatchNormalization"
            try:
                affine = batch_norm_affine(node) if is_norm else elementwise_affine(node)
            except NotAffineError as obstacle:
                if is_norm:
                    skipped.append(Skip(str(node.name), str(obstacle)))
                continue
            try:
                _fold_into_producer(node, affine, names)
                stats["into weights"] += 1
                continue
            except WeightsNotFoldableError as obstacle:
                if not is_norm:
                    continue
                reason = str(obstacle)
            if _fold_into_consumer(node, affine, names):
                stats["into following weights"] += 1
            else:
                skipped.append(Skip(str(node.name), f"{reason}; made a Mul and an Add instead"))
                _spell_out(node, affine, names)
                stats["to Mul and Add"] += 1
        if any(stats.values()):
            # The weights before folding have no reader any more; left in, they would count as the model's size.
            remove_dead_code(model)
        return PassResult(model, modified=any(stats.values()), stats=stats, skipped=tuple(skipped))


def _fold_into_producer(node: ir.Node, affine: Affine, names: Names) -> None:
    """Cases 1 and 2.

    Raises:
        WeightsNotFoldableError: there is no producer with weights of its own to fold into.
    """
    producer = affine.source.producer()
    if producer is None:
        raise WeightsNotFoldableError("its input is not made by a node with weights")
    if only_consumer(affine.source) is not node or producer.graph is not node.graph:
        raise WeightsNotFoldableError(f"the result of {producer.name} is read elsewhere too")
    bias: ir.Node | None = None
    if producer.op_type == "Add":
        if node.op_type in {"Add", "Sub"}:
            raise WeightsNotFoldableError("a second shift after a bias")
        bias, matmul = producer, _matmul_before(producer)
        if matmul is None:
            raise WeightsNotFoldableError("its input is made by Add, without weights")
        producer = matmul
    weighted = WeightedNode.of(producer, bias)
    if producer.op_type == "MatMul" and bias is None and not affine.scales:
        raise WeightsNotFoldableError("an Add after a MatMul is its bias already")
    last = weighted.scale_outputs(affine, names)
    replace_value(node.outputs[0], last, names)
    remove_unused([producer, *([bias] if bias else []), node])


def _matmul_before(add: ir.Node) -> ir.Node | None:
    """The MatMul whose result an Add of a constant is the only reader of."""
    for value in add.inputs:
        producer = value.producer() if value is not None else None
        if value is not None and producer is not None and producer.op_type == "MatMul":
            return producer if only_consumer(value) is add and producer.graph is add.graph else None
    return None


def _fold_into_consumer(node: ir.Node, affine: Affine, names: Names) -> bool:
    """Case 3; whether it was possible."""
    consumer = only_consumer(node.outputs[0])
    if consumer is None or consumer.graph is not node.graph or consumer.inputs[0] is not node.outputs[0]:
        return False
    try:
        weighted = WeightedNode.of(consumer, None)
        last = weighted.scale_inputs(affine, names)
    except WeightsNotFoldableError:
        return False
    replace_value(consumer.outputs[0], last, names)
    remove_unused([node, consumer])
    return True


def _spell_out(node: ir.Node, affine: Affine, names: Names) -> None:
    """Case 4."""
    rank = len(affine.source.shape) if affine.source.shape is not None else 4
    shape = [1] * rank
    shape[affine.axis] = -1
    graph = graph_of(node)
    dtype = affine.dtype
    scale = add_constant(graph, names.fresh(f"{node.name}.scale"), affine.scale.reshape(shape).astype(dtype))
    shift = add_constant(graph, names.fresh(f"{node.name}.shift"), affine.shift.reshape(shape).astype(dtype))
    scaled = ir.node("Mul", [affine.source, scale], name=names.fresh(f"{node.name}/Mul"))
    shifted = ir.node("Add", [scaled.outputs[0], shift], name=names.fresh(f"{node.name}/Add"))
    for made in (scaled, shifted):
        made.outputs[0].name = names.fresh(f"{made.name}.output")
        made.outputs[0].type, made.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    insert_before(node, [scaled, shifted])
    replace_value(node.outputs[0], shifted.outputs[0], names)
    remove_unused([node])
