"""Pass `convert-float16`: layers compute and store in fp16 where the core multiplies vectors of it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar, cast

import numpy as np
import onnx_ir as ir
from pydantic import Field

from edgec.core.codes.passes import NO_HALF_ARITHMETIC
from edgec.core.errors import EdgecError
from edgec.core.passes import Kind, Pass, PassContext, PassOptions, PassResult, Skip
from edgec.passes.graph_edit import Names, add_constant, constant, nodes_of

_ARITHMETIC = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Clip", "Relu", "LeakyRelu", "PRelu")
_ACTIVATIONS = ("HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Gelu", "Elu", "Max", "Min", "Neg", "Abs")
_CONTRACTIONS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_POOLING = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize")
_MOVEMENT = ("Concat", "Reshape", "Flatten", "Transpose", "Slice", "Split", "Pad", "Squeeze", "Unsqueeze", "Identity")
_REARRANGEMENT = ("DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Gather")
CONVERTED = (*_ARITHMETIC, *_ACTIVATIONS, *_POOLING, *_MOVEMENT, *_REARRANGEMENT)
"""Operators that keep enough of their accuracy; sums over many elements, quotients, powers and norms stay fp32."""

_INPUTS_THAT_STAY = {"Resize": (1, 2)}
"""Places of inputs that are fp32 whatever the others are."""

_LARGEST = float(np.finfo(np.float16).max)


class ConvertFloat16Options(PassOptions):
    """Options of `convert-float16`."""

    ignore: tuple[str, ...] = Field(default=(), description="names of nodes, or patterns (`*/head/*`), that stay fp32")
    force: bool = Field(default=False, description="convert although the core has no fp16 arithmetic, which is slower")


class ConvertFloat16(Pass):
    """Give nodes fp16 inputs, outputs and weights, with a Cast where they meet fp32.

    Case 1: nodes whose operator keeps its accuracy in fp16 (see `CONVERTED`) are converted, their constants too; limits
        of a Clip beyond fp16 become its largest number.
    Case 2: softmax, normalisations, reductions, divisions, powers and all others stay fp32.
    Case 3: a node with a constant beyond ±65504, or that reads or makes no fp32, stays as it is.
    Case 4: nodes that hang together without a convolution or matrix product stay: there Casts would cost more than is
        won.
    Case 5: the inputs and outputs of the model keep their element type.

    Nodes within branches and loops stay fp32.
    """

    name: ClassVar[str] = "convert-float16"
    kind: ClassVar[Kind] = Kind.LOSSY
    Options: ClassVar[type[PassOptions]] = ConvertFloat16Options

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Convert in place.

        Raises:
            EdgecError: EC0317 where the target's core has no fp16 arithmetic.
        """
        options = cast(ConvertFloat16Options, self.options)
        target = context.target
        if target is not None and not target.computes_in_half and not options.force:
            raise EdgecError(
                NO_HALF_ARITHMETIC,
                f"{target.name} computes in fp16 no faster than in fp32",
                hint="leave the pass out, since fp16 is slower than fp32 there; force = true converts nevertheless",
            )
        chosen: dict[ir.Node, None] = {}
        skipped: list[Skip] = []
        for node in nodes_of(model, *CONVERTED):
            if node.graph is model.graph and _computes_in_single(node):
                reason = _obstacle(node, options.ignore)
                if reason is None:
                    chosen[node] = None
                else:
                    skipped.append(Skip(str(node.name), reason))
        for island in _islands(chosen):
            if not any(node.op_type in _CONTRACTIONS for node in island):
                skipped += [Skip(str(node.name), "no convolution or matrix product is next to it") for node in island]
                for node in island:
                    del chosen[node]
        casts = _convert(model, chosen)
        stats = {"converted": len(chosen), "casts": casts}
        return PassResult(model, modified=bool(chosen), stats=stats, skipped=tuple(skipped))


def _computes_in_single(node: ir.Node) -> bool:
    return all(output.dtype == ir.DataType.FLOAT for output in node.outputs) and bool(_halved_inputs(node))


def _halved_inputs(node: ir.Node) -> list[tuple[int, ir.Value]]:
    """The inputs that become fp16, with their places."""
    stay = _INPUTS_THAT_STAY.get(node.op_type, ())
    return [
        (place, value)
        for place, value in enumerate(node.inputs)
        if value is not None and value.dtype == ir.DataType.FLOAT and place not in stay
    ]


def _obstacle(node: ir.Node, ignored: tuple[str, ...]) -> str | None:
    """Why a node stays fp32; None if it does not."""
    if any(fnmatchcase(str(node.name), pattern) for pattern in ignored):
        return "named in `ignore`"
    for _, value in _halved_inputs(node):
        contents = constant(value)
        if contents is not None and node.op_type != "Clip" and np.max(np.abs(contents), initial=0) > _LARGEST:
            return f"its constant {value.name} has elements beyond ±{_LARGEST:.0f}"
    return None


def _islands(chosen: Iterable[ir.Node]) -> list[list[ir.Node]]:
    """The chosen nodes, each group that hangs together through values by itself."""
    waiting = dict.fromkeys(chosen)
    found: list[list[ir.Node]] = []
    while waiting:
        island: list[ir.Node] = []
        open_nodes = [next(iter(waiting))]
        while open_nodes:
            node = open_nodes.pop()
            if node not in waiting:
                continue
            del waiting[node]
            island.append(node)
            producers = [producer for _, value in _halved_inputs(node) if (producer := value.producer()) is not None]
            readers = [reader for output in node.outputs for reader, _ in output.uses()]
            open_nodes += [*producers, *readers]
        found.append(island)
    return found


def _convert(model: ir.Model, chosen: Container[ir.Node]) -> int:
    """Give the chosen nodes fp16 inputs and outputs; the number of Casts."""
    names = Names(model)
    halves: dict[ir.Value, ir.Value] = {}
    casts: list[ir.Node] = []
    nodes = [node for node in model.graph if node in chosen]
    reads = {node: _halved_inputs(node) for node in nodes}
    for node in nodes:
        for place, value in reads[node]:
            if value.producer() in chosen:
                continue
            if value not in halves:
                halves[value] = _half(model, value, names, casts)
            node.replace_input_with(place, halves[value])
    halved = {(node, place) for node in nodes for place, _ in reads[node]}
    for node in nodes:
        for output in node.outputs:
            stay = [(reader, place) for reader, place in output.uses() if (reader, place) not in halved]
            output.type = ir.TensorType(ir.DataType.FLOAT16)
            if stay or output.is_graph_output():
                casts.append(_restore(model, output, stay, names))
    return len(casts)


def _half(model: ir.Model, value: ir.Value, names: Names, casts: list[ir.Node]) -> ir.Value:
    """The fp16 form of a constant, or of a value that an fp32 node or nobody makes."""
    contents = constant(value)
    name = names.fresh(f"{value.name}.float16")
    if contents is not None:
        return add_constant(model.graph, name, np.clip(contents, -_LARGEST, _LARGEST).astype(np.float16))
    node = _cast(value, ir.DataType.FLOAT16, name)
    producer = value.producer()
    if producer is None:
        model.graph.insert_before(model.graph[0], node)
    else:
        model.graph.insert_after(producer, node)
    casts.append(node)
    return node.outputs[0]


def _restore(model: ir.Model, value: ir.Value, stay: Sequence[tuple[ir.Node, int]], names: Names) -> ir.Node:
    """Cast an fp16 value back for the readers that stay; as an output of the model the fp32 value keeps its name."""
    graph = model.graph
    name = names.fresh(f"{value.name}.float32")
    producer = value.producer()
    node = _cast(value, ir.DataType.FLOAT, name)
    restored = node.outputs[0]
    if value.is_graph_output():
        restored.name, value.name = value.name, names.fresh(f"{value.name}.float16")
        for place, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[place] = restored
    for reader, place in stay:
        reader.replace_input_with(place, restored)
    if producer is not None:
        graph.insert_after(producer, node)
    return node


def _cast(value: ir.Value, dtype: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], {"to": int(dtype)}, name=f"{name}/Cast")
    made = node.outputs[0]
    made.name, made.type, made.shape = name, ir.TensorType(dtype), value.shape
    return node
