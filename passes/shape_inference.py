"""Shape inference over a whole model without a copy of its weights, loop bodies included."""

from __future__ import annotations

import onnx_ir as ir

from edgec.passes.graph_edit import bodies_of, nodes_of, static_shape
from edgec.passes.library_pass import run_library_pass


def infer_shapes(model: ir.Model) -> None:
    """Fill in types and shapes of values, in place, with ONNX's own inference.

    Where the shape of a value that a Loop carries is not declared, it is taken from the initial value if the body then
    yields the same shape again (induction over the iterations); ONNX itself leaves such shapes open.
    """
    _run(model)
    assumed = _assume_loop_invariants(model)
    while assumed:
        _run(model)
        refuted = [(value, out) for value, out in assumed if static_shape(out) != static_shape(value)]
        if not refuted:
            return
        for value, _ in refuted:
            value.shape = None
        clear_shapes(model)
        assumed = [pair for pair in assumed if pair not in refuted]
        _run(model)


def clear_shapes(model: ir.Model) -> None:
    """Forget the shapes of every value that a node makes; inputs and initializers keep theirs."""
    for graph in model.graphs():
        for node in graph:
            for output in node.outputs:
                output.shape = None


def _run(model: ir.Model) -> None:
    from onnx_ir.passes.common import ShapeInferencePass

    run_library_pass(ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True), model)


def _assume_loop_invariants(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """Give carried values of loops the shape of their initial values; pairs of the body's input and output."""
    assumed = []
    for node in nodes_of(model, "Loop"):
        for body in bodies_of(node):
            carried = len(node.inputs) - 2
            pairs = zip(node.inputs[2:], body.inputs[2:], body.outputs[1 : 1 + carried], strict=False)
            for initial, parameter, result in pairs:
                if static_shape(parameter) is None and (shape := static_shape(initial)) is not None:
                    parameter.shape = ir.Shape(shape)
                    assumed.append((parameter, result))
    return assumed
