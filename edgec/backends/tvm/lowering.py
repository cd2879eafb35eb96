"""Lowering an ONNX graph with static shapes to the kernel graph, node by node.

An ONNX value exists in up to two forms: the canonical one, in ONNX's own layout, and a channels-last one (N, spatial…,
C) that convolutions and pooling want. An operator asks for the form it likes; the transpose is emitted once, when it is
first needed, so that layout changes stand only where a channels-last region begins or ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.kernel_graph import (
    Block,
    Compute,
    ConvolutionTile,
    Operation,
    Pattern,
    Step,
    UnsupportedNodeError,
    Value,
    View,
)

Operator = Callable[[ir.Node, "Lowering"], None]

_OPERATORS: dict[tuple[str, str], Operator] = {}


def lowers(*op_types: str, domain: str = "") -> Callable[[Operator], Operator]:
    """Declare a function to be the lowering of some ONNX operators."""

    def register(operator: Operator) -> Operator:
        for op_type in op_types:
            _OPERATORS[domain, op_type] = operator
        return operator

    return register


def permutation_to_channels_last(rank: int) -> tuple[int, ...]:
    """The axes of (N, C, spatial…) in the order (N, spatial…, C)."""
    return (0, *range(2, rank), 1)


def permutation_from_channels_last(rank: int) -> tuple[int, ...]:
    """The axes of (N, spatial…, C) in the order (N, C, spatial…)."""
    return (0, rank - 1, *range(1, rank - 1))


class Lowering:
    """The state of lowering one graph: the values made so far and the block that receives the steps."""

    def __init__(self, core: CoreDescription) -> None:
        self.core = core
        self.steps: list[Step] = []
        self._canonical: dict[ir.Value, Value] = {}
        self._channels_last: dict[ir.Value, Value] = {}

    def constant(self, onnx_value: ir.Value | None) -> np.ndarray | None:
        """The contents of a value known at compile time; None for others and for an absent optional input."""
        if onnx_value is None or onnx_value.const_value is None:
            return None
        return onnx_value.const_value.numpy()

    def required_constant(self, onnx_value: ir.Value | None, role: str) -> np.ndarray:
        """The contents of a value that must be known at compile time.

        Raises:
            UnsupportedNodeError: it is computed at run time; `role` names it in the reason.
        """
        contents = self.constant(onnx_value)
        if contents is None:
            raise UnsupportedNodeError(
                f"its {role} is computed at run time",
                "fix the input shapes with --shape, so that it folds",
            )
        return contents

    def literal(self, name: str, contents: np.ndarray) -> Value:
        """A new constant."""
        return Value(name, tuple(contents.shape), str(contents.dtype), contents)

    def value(self, onnx_value: ir.Value) -> Value:
        """The canonical form of a value; emits the transpose from its channels-last form if that is all there is."""
        if onnx_value in self._canonical:
            return self._canonical[onnx_value]
        contents = self.constant(onnx_value)
        if contents is not None:
            made = self.literal(str(onnx_value.name), contents)
        else:
            source = self._channels_last[onnx_value]
            made = self.transpose(source, permutation_from_channels_last(len(source.shape)), str(onnx_value.name))
        self._canonical[onnx_value] = made
        return made

    def channels_last(self, onnx_value: ir.Value) -> Value:
        """The channels-last form of a value of rank 3 or more; emits the transpose if it is not there yet."""
        if onnx_value not in self._channels_last:
            source = self.value(onnx_value)
            permutation = permutation_to_channels_last(len(source.shape))
            name = f"{source.name}.channels_last"
            self._channels_last[onnx_value] = (
                self.transpose(source, permutation, name)
                if source.data is None
                else self.literal(name, np.ascontiguousarray(source.data.transpose(permutation)))
            )
        return self._channels_last[onnx_value]

    def only_channels_last(self, onnx_value: ir.Value) -> bool:
        """Whether the canonical form of a value would have to be made by a transpose."""
        return onnx_value in self._channels_last and onnx_value not in self._canonical

    def define(self, onnx_value: ir.Value, value: Value) -> None:
        """Set the canonical form of a node's output."""
        self._canonical[onnx_value] = value

    def define_channels_last(self, onnx_value: ir.Value, value: Value) -> None:
        """Set the channels-last form of a node's output."""
        self._channels_last[onnx_value] = value

    def emit(
        self,
        node: ir.Node,
        pattern: Pattern,
        inputs: Sequence[Value],
        output: tuple[str, tuple[int, ...], str],
        compute: Compute,
        *,
        macs: int = 0,
        tile: ConvolutionTile | None = None,
    ) -> Value:
        """Append an operation with one output, given as (name, shape, dtype), and return that output."""
        result = Value(*output)
        self.steps.append(
            Operation(str(node.name), node.op_type, pattern, tuple(inputs), (result,), compute, macs, tile)
        )
        return result

    def view(self, node: str, source: Value, output: tuple[str, tuple[int, ...], str], offset_bytes: int = 0) -> Value:
        """Append a view, given as (name, shape, dtype), of the memory of `source`."""
        if source.data is not None and offset_bytes == 0:
            return Value(output[0], output[1], output[2], source.data.reshape(output[1]))
        result = Value(*output)
        self.steps.append(View(node, source, result, offset_bytes))
        return result

    def transpose(self, source: Value, permutation: tuple[int, ...], name: str) -> Value:
        """A permuted copy of `source`, or a view of it where the permutation moves no element."""
        from tvm import topi

        shape = tuple(source.shape[axis] for axis in permutation)
        output = (name, shape, source.dtype)
        if [axis for axis in permutation if source.shape[axis] != 1] == sorted(
            axis for axis in permutation if source.shape[axis] != 1
        ):
            return self.view(name, source, output)
        result = Value(*output)
        self.steps.append(
            Operation(
                name,
                "Transpose",
                Pattern.INJECTIVE,
                (source,),
                (result,),
                lambda tensors: [topi.transpose(tensors[0], permutation)],
            )
        )
        return result

    def nested(self, graph: ir.Graph, parameters: Sequence[Value]) -> Block:
        """Lower the body of a loop or a branch; its nodes may read the values of the enclosing graph."""
        outer, self.steps = self.steps, []
        for onnx_value, parameter in zip(graph.inputs, parameters, strict=True):
            self.define(onnx_value, parameter)
        try:
            self.run(graph)
            block = Block(tuple(parameters), tuple(self.value(output) for output in graph.outputs), [])
            block.steps = self.steps
        finally:
            self.steps = outer
        return block

    def run(self, graph: ir.Graph) -> None:
        """Lower every node of a graph in order."""
        for node in graph:
            operator = _OPERATORS.get((node.domain, node.op_type))
            if operator is None:
                raise UnsupportedNodeError(f"the operator {node.op_type} is not lowered", "see `edgec explain EC0401`")
            operator(node, self)
