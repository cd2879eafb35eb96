"""Lowering a whole model: its inputs, its nodes, its outputs, and every reason against it in one go."""

from __future__ import annotations

import onnx_ir as ir

from edgec.backends.plan import Fallback
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import NO_CHOICES, Choices
from edgec.backends.tvm.kernel_graph import Block, KernelGraph, Value
from edgec.backends.tvm.lowering import Lowering, element_type, static_shape
from edgec.core.codes.backend import UNSUPPORTED_NODES
from edgec.core.errors import EdgecError


def _main_block(lowering: Lowering, graph: ir.Graph) -> Block:
    parameters = []
    for onnx_value in graph.inputs:
        if onnx_value.const_value is not None:
            continue
        shape, dtype = static_shape(onnx_value), element_type(onnx_value)
        if shape is None or dtype is None:
            what = f"elements of type {onnx_value.type}" if dtype is None else f"the shape {onnx_value.shape}"
            hint = "convert it before the export" if dtype is None else "fix the shape with --shape NAME=1,3,224,224"
            lowering.problems.append(Fallback(node=str(onnx_value.name), reason=f"the input has {what}", hint=hint))
            continue
        parameter = Value(str(onnx_value.name), shape, dtype)
        parameters.append(parameter)
        lowering.define(onnx_value, parameter)
    lowering.run(graph)
    block = Block(tuple(parameters), (), lowering.steps)
    for output in graph.outputs:
        if output.dtype is not None and element_type(output) is None:
            reason = f"the output has elements of type {output.dtype.name}"
            hint = "convert it to float32 or to an integer type of whole bytes before the export"
            lowering.problems.append(Fallback(node=str(output.name), reason=reason, hint=hint))
    if not lowering.problems:
        block.results = tuple(lowering.value(output) for output in graph.outputs)
    return block


def unsupported_nodes(model: ir.Model, core: CoreDescription) -> tuple[Fallback, ...]:
    """Every input and node of a model that cannot be lowered, with the reason; generates no code."""
    lowering = Lowering(core, model.opset_imports)
    _main_block(lowering, model.graph)
    return tuple(lowering.problems)


def lower_graph(model: ir.Model, core: CoreDescription, name: str, choices: Choices = NO_CHOICES) -> KernelGraph:
    """Lower a model whose shapes are all static.

    Raises:
        EdgecError: EC0401 with every unsupported node in `details`.
    """
    weights_bytes = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    lowering = Lowering(core, model.opset_imports, choices, weights_bytes)
    block = _main_block(lowering, model.graph)
    problems = lowering.problems
    if problems:
        raise EdgecError(
            UNSUPPORTED_NODES,
            f"{len(problems)} node{'s' if len(problems) > 1 else ''} of the model cannot be lowered",
            where=problems[0].node,
            hint=problems[0].hint,
            details=tuple(f"{problem.node}: {problem.reason}; {problem.hint}" for problem in problems),
        )
    return KernelGraph(name, block)
