"""Lowering an ONNX graph with static shapes to the kernel graph, node by node.

An ONNX value exists in up to two forms: the canonical one, in ONNX's own layout, and a channels-last one (N, spatial…,
C) that convolutions and pooling want. An operator asks for the form it likes; the transpose is emitted once, when it is
first needed, so that layout changes stand only where a channels-last region begins or ends.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.backends.plan import Fallback
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import NO_CHOICES, Choice, Choices, Contraction, Implementation
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

ELEMENT_TYPES = frozenset(
    ["bool", "float16", "float32", "float64"] + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
"""Element types that kernels compute with."""

_WIDENED = {"int4": "int8", "uint4": "uint8", "int2": "int8", "uint2": "uint8"}
"""Constants of sub-byte integers are stored a byte each."""


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


def label(node: ir.Node) -> str:
    """The name of a node, or of its first output if it has none."""
    return node.name or (str(node.outputs[0].name) if node.outputs else node.op_type)


def static_shape(onnx_value: ir.Value) -> tuple[int, ...] | None:
    """The extents of a value if all are known."""
    if onnx_value.shape is None or not onnx_value.shape.is_static():
        return None
    return tuple(int(extent) for extent in onnx_value.shape.numpy())


def element_type(onnx_value: ir.Value) -> str | None:
    """Numpy's name of the element type of a value, if it is known and kernels compute with it."""
    if not isinstance(onnx_value.type, ir.TensorType) or onnx_value.dtype in (None, ir.DataType.UNDEFINED):
        return None
    if onnx_value.dtype == ir.DataType.STRING:
        return None
    name = str(onnx_value.dtype.numpy())
    return name if name in ELEMENT_TYPES else None


class _MissingValueError(Exception):
    """A node reads a value that an unsupported node should have made and of which nothing is known."""


class Lowering:
    """The state of lowering one graph: the values made so far and the block that receives the steps.

    Attributes:
        core: the core that the kernels run on.
        opsets: version of each operator set that the model imports, by domain.
        weights_bytes: of all constants of the model; 0 if nobody counted them.
        problems: every node so far that cannot be lowered.
    """

    def __init__(
        self, core: CoreDescription, opsets: Mapping[str, int], choices: Choices = NO_CHOICES, weights_bytes: int = 0
    ) -> None:
        self.core = core
        self.weights_bytes = weights_bytes
        self._choices = choices
        self.opsets = opsets
        self.steps: list[Step] = []
        self.problems: list[Fallback] = []
        self._canonical: dict[ir.Value, Value] = {}
        self._channels_last: dict[ir.Value, Value] = {}

    def chosen(self, contraction: Contraction | None) -> Implementation | None:
        """How measurements say that a contraction is computed; None leaves it to the cost model."""
        return None if contraction is None else self._choices.get(contraction)

    def opset(self, node: ir.Node) -> int:
        """The version of the operator set that defines a node."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        return node.version or self.opsets.get(domain, self.opsets.get("ai.onnx", 1))

    def constant(self, onnx_value: ir.Value | None) -> np.ndarray | None:
        """The contents of a value known at compile time; None for others and for an absent optional input.

        Raises:
            UnsupportedNodeError: its element type is one that kernels do not compute with.
        """
        if onnx_value is None:
            return None
        if onnx_value in self._canonical:
            return self._canonical[onnx_value].data
        if onnx_value.const_value is None:
            return None
        contents = onnx_value.const_value.numpy()
        name = str(contents.dtype)
        if name in _WIDENED:
            return contents.astype(_WIDENED[name])
        if name not in ELEMENT_TYPES:
            raise UnsupportedNodeError(
                f"its constant {onnx_value.name} has elements of type {onnx_value.const_value.dtype.name}",
                "convert it to float32 before the export",
            )
        return contents

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
        contents = np.ascontiguousarray(contents).reshape(contents.shape)
        return Value(name, tuple(contents.shape), str(contents.dtype), contents)

    def value(self, onnx_value: ir.Value) -> Value:
        """The canonical form of a value; emits the transpose from its channels-last form if that is all there is."""
        if onnx_value in self._canonical:
            return self._canonical[onnx_value]
        contents = self.constant(onnx_value)
        if contents is not None:
            made = self.literal(str(onnx_value.name), contents)
        elif onnx_value in self._channels_last:
            source = self._channels_last[onnx_value]
            made = self.transpose(source, permutation_from_channels_last(len(source.shape)), str(onnx_value.name))
        else:
            raise _MissingValueError
        self._canonical[onnx_value] = made
        return made

    def channels_last(self, onnx_value: ir.Value) -> Value:
        """The channels-last form of a value of rank 3 or more; emits the transpose if it is not there yet."""
        if onnx_value not in self._channels_last:
            source = self.value(onnx_value)
            permutation = permutation_to_channels_last(len(source.shape))
            name = f"{source.name}.channels_last"
            self._channels_last[onnx_value] = self.transpose(source, permutation, name)
        return self._channels_last[onnx_value]

    def only_channels_last(self, onnx_value: ir.Value) -> bool:
        """Whether the canonical form of a value would have to be made by a transpose."""
        return onnx_value in self._channels_last and onnx_value not in self._canonical

    def has_channels_last(self, onnx_value: ir.Value) -> bool:
        """Whether the channels-last form of a value is there."""
        return onnx_value in self._channels_last

    def shape(self, onnx_value: ir.Value) -> tuple[int, ...]:
        """The extents of a value in ONNX's order, whatever form it has."""
        if self.only_channels_last(onnx_value):
            extents = self._channels_last[onnx_value].shape
            return tuple(extents[axis] for axis in permutation_from_channels_last(len(extents)))
        return self.value(onnx_value).shape

    def dtype(self, onnx_value: ir.Value) -> str:
        """Numpy's name of the element type of a value."""
        forms = self._channels_last if self.only_channels_last(onnx_value) else self._canonical
        return forms[onnx_value].dtype if onnx_value in forms else self.value(onnx_value).dtype

    def define(self, onnx_value: ir.Value, value: Value) -> None:
        """Set the canonical form of a node's output.

        Raises:
            UnsupportedNodeError: shape inference found another shape or element type.
        """
        self._check(onnx_value, value.shape, value.dtype)
        self._canonical[onnx_value] = value

    def define_channels_last(self, onnx_value: ir.Value, value: Value) -> None:
        """Set the channels-last form of a node's output.

        Raises:
            UnsupportedNodeError: shape inference found another shape or element type.
        """
        permutation = permutation_from_channels_last(len(value.shape))
        self._check(onnx_value, tuple(value.shape[axis] for axis in permutation), value.dtype)
        self._channels_last[onnx_value] = value

    def alias(self, onnx_value: ir.Value, source: ir.Value) -> None:
        """Give an output the forms of an input that has the same elements."""
        if self.only_channels_last(source):
            self.define_channels_last(onnx_value, self._channels_last[source])
            return
        self.define(onnx_value, self.value(source))
        if source in self._channels_last:
            self.define_channels_last(onnx_value, self._channels_last[source])

    def _check(self, onnx_value: ir.Value, shape: tuple[int, ...], dtype: str) -> None:
        declared = onnx_value.shape
        known = element_type(onnx_value)
        fits = declared is None or (
            len(declared) == len(shape)
            and all(not isinstance(known, int) or known == made for known, made in zip(declared, shape, strict=True))
        )
        if not fits or known not in (None, dtype):
            raise UnsupportedNodeError(
                f"the model declares {onnx_value.name} to be {known or ''}{declared}, but it is {dtype}{list(shape)}",
                "remove the declared shapes from the model, or correct them",
            )

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
        choice: Choice | None = None,
    ) -> Value:
        """Append an operation with one output, given as (name, shape, dtype), and return that output."""
        return self.emit_several(node, pattern, inputs, [output], compute, macs=macs, tile=tile, choice=choice)[0]

    def emit_several(
        self,
        node: ir.Node,
        pattern: Pattern,
        inputs: Sequence[Value],
        outputs: Sequence[tuple[str, tuple[int, ...], str]],
        compute: Compute,
        *,
        macs: int = 0,
        tile: ConvolutionTile | None = None,
        choice: Choice | None = None,
    ) -> tuple[Value, ...]:
        """Append an operation with several outputs, each given as (name, shape, dtype), and return them.

        Outputs without elements become constants, and no operation is needed.
        """
        if all(0 in shape for _, shape, _ in outputs):
            return tuple(self.literal(name, np.zeros(shape, dtype)) for name, shape, dtype in outputs)
        results = tuple(Value(*output) for output in outputs)
        operation = Operation(
            label(node), node.op_type, pattern, tuple(inputs), results, compute, macs, tile, choice=choice
        )
        self.steps.append(operation)
        return results

    def view(self, node: str, source: Value, output: tuple[str, tuple[int, ...], str], offset_bytes: int = 0) -> Value:
        """Append a view, given as (name, shape, dtype), of the memory of `source`."""
        if source.data is not None and offset_bytes == 0:
            return Value(output[0], output[1], output[2], source.data.reshape(output[1]))
        result = Value(*output)
        self.steps.append(View(node, source, result, offset_bytes))
        return result

    def transpose(self, source: Value, permutation: tuple[int, ...], name: str) -> Value:
        """A permuted copy of `source`, or a view of it where the permutation moves no element."""
        shape = tuple(source.shape[axis] for axis in permutation)
        output = (name, shape, source.dtype)
        if permutation == tuple(range(len(permutation))):
            return source
        if source.data is not None:
            return self.literal(name, source.data.transpose(permutation))
        moved = [axis for axis in permutation if source.shape[axis] != 1]
        if moved == sorted(moved):
            return self.view(name, source, output)
        result = Value(*output)

        def compute(tensors: Sequence[object]) -> Sequence[object]:
            from tvm import topi

            return [topi.transpose(tensors[0], permutation)]

        self.steps.append(Operation(name, "Transpose", Pattern.INJECTIVE, (source,), (result,), compute))
        return result

    def nested(self, graph: ir.Graph, parameters: Sequence[Value]) -> Block:
        """Lower the body of a loop or a branch; its nodes may read the values of the enclosing graph.

        What the body makes is not visible outside of it, the forms of outer values included: they exist only if it
        runs.
        """
        outer = self.steps, self._canonical, self._channels_last
        self.steps, self._canonical, self._channels_last = [], dict(self._canonical), dict(self._channels_last)
        for onnx_value, parameter in zip(graph.inputs, parameters, strict=True):
            self._canonical[onnx_value] = parameter
        try:
            self.run(graph)
            results = tuple(self.value(output) for output in graph.outputs)
            return Block(tuple(parameters), results, self.steps)
        finally:
            self.steps, self._canonical, self._channels_last = outer

    def run(self, graph: ir.Graph) -> None:
        """Lower every node of a graph in order; nodes that cannot be lowered end up in `problems`."""
        load_operators()
        for node in graph:
            self._lower(node)

    def _lower(self, node: ir.Node) -> None:
        emitted = len(self.steps)
        try:
            operator = _OPERATORS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
            if operator is None:
                domain = f" of the domain {node.domain}" if node.domain else ""
                raise UnsupportedNodeError(f"the operator {node.op_type}{domain} is not lowered", _REPLACE)
            operator(node, self)
        except UnsupportedNodeError as error:
            self.problems.append(Fallback(node=f"{label(node)} ({node.op_type})", reason=error.reason, hint=error.hint))
            del self.steps[emitted:]
            self._stand_in(node)
        except _MissingValueError:
            del self.steps[emitted:]
            self._stand_in(node)

    def _stand_in(self, node: ir.Node) -> None:
        """Define the outputs of a node that was not lowered as far as known, so that later nodes can be judged."""
        for output in node.outputs:
            shape, dtype = static_shape(output), element_type(output)
            self._channels_last.pop(output, None)
            if shape is not None and dtype is not None:
                self._canonical[output] = Value(str(output.name), shape, dtype)


_REPLACE = "express it with other operators before the export, or cut the model before this node"


def load_operators() -> None:
    """Import every module of operators, which declare themselves."""
    package = importlib.import_module("edgec.backends.tvm.operators")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")
