"""The verb `analyze`: what a model costs, before any compilation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.core.codes.passes import DYNAMIC_DIMENSION, UNKNOWN_RANK
from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext
from edgec.core.progress import Progress
from edgec.graph.cost import NodeCost, model_size, node_costs, peak_activation_memory
from edgec.graph.load import load_model
from edgec.graph.shapes import model_inputs, open_dimensions


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Record):
    """An input or output; an open extent is its name, or `?`; the shape is None where not even the rank is known."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


class Unknown(_Record):
    """A node of which some number cannot be told, and why."""

    node: str
    operator: str
    reason: str


class OperatorRow(_Record):
    """All nodes of one operator.

    Attributes:
        operator: its name in ONNX, with its domain unless that is ONNX's own.
        nodes: how many there are.
        macs: multiply-accumulates per inference; None if those of some node cannot be told.
        bytes: weights and activations that they read and write; None likewise.
    """

    operator: str
    nodes: int
    macs: int | None
    bytes: int | None


class UnsupportedNode(_Record):
    """A node that the target's backend cannot compile."""

    node: str
    reason: str
    hint: str


class Analysis(_Record):
    """What `analyze` found.

    Attributes:
        name: stem of the file name.
        sha256: of the file and its data files.
        file_bytes: size of the file without its data files.
        opset: version of ONNX's operators; None if the model uses none.
        nodes: number of nodes, those in bodies of loops and branches included.
        inputs: in the order of the graph, with the shapes that were analysed.
        outputs: likewise.
        open_dimensions: `INPUT axis N (NAME)` for every dimension that no shape was given for.
        parameters: elements of all weights.
        weight_bytes: their size.
        macs: multiply-accumulates per inference, of the nodes for which they can be told.
        peak_activation_bytes: the most that activations take at once; None if it cannot be told.
        notes: what was assumed.
        unknown: nodes whose numbers are missing from the sums, with reasons.
        operators: by number of multiply-accumulates.
        target: the device that `unsupported` is about; None if none was asked for.
        unsupported: every node that cannot be compiled for it.
    """

    name: str
    sha256: str
    file_bytes: int
    opset: int | None
    nodes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    open_dimensions: tuple[str, ...]
    parameters: int
    weight_bytes: int
    macs: int
    peak_activation_bytes: int | None
    notes: tuple[str, ...]
    unknown: tuple[Unknown, ...]
    operators: tuple[OperatorRow, ...]
    target: str | None
    unsupported: tuple[UnsupportedNode, ...]


def analyze(path: Path, shapes: Mapping[str, tuple[int, ...]], target: str | None, progress: Progress) -> Analysis:
    """Count a model's work and memory; its weights are not read, and nothing is compiled.

    Args:
        path: the ONNX file.
        shapes: shapes of inputs by name; a dimension that stays open makes some numbers unknown.
        target: also ask this target's backend what it cannot compile.
        progress: receives the steps.

    Raises:
        EdgecError: EC02xx for a model that cannot be loaded, EC0310 to EC0314 for shapes that do not fit it, EC05xx
            for an unknown target.
    """
    from edgec.passes.shape_inference import infer_computed_shapes

    progress.start("reading the model")
    loaded = load_model(path)
    notes: list[str] = []
    model = _with_shapes(loaded.model, shapes, progress, notes)
    progress.start("counting")
    infer_computed_shapes(model)
    costs = node_costs(model)
    size = model_size(model)
    peak = peak_activation_memory(model)
    if peak.reason:
        notes.append(f"the memory of activations cannot be told: {peak.reason}")
    unsupported = _unsupported(loaded.model, target, shapes, progress) if target is not None else ()
    return Analysis(
        name=path.stem,
        sha256=loaded.sha256,
        file_bytes=path.stat().st_size,
        opset=model.opset_imports.get(""),
        nodes=sum(1 for graph in model.graphs() for _ in graph),
        inputs=tuple(_tensor(value) for value in model_inputs(model)),
        outputs=tuple(_tensor(value) for value in model.graph.outputs),
        open_dimensions=tuple(
            f"{each.input} axis {each.axis} ({each.symbol or '?'})" for each in open_dimensions(model)
        ),
        parameters=size.parameters,
        weight_bytes=size.bytes,
        macs=size.macs,
        peak_activation_bytes=peak.bytes,
        notes=tuple(notes),
        unknown=tuple(Unknown(node=each.name, operator=each.op, reason=each.reason) for each in costs if each.reason),
        operators=_by_operator(costs),
        target=target,
        unsupported=unsupported,
    )


def _with_shapes(
    model: ir.Model, shapes: Mapping[str, tuple[int, ...]], progress: Progress, notes: list[str]
) -> ir.Model:
    """The model with the shapes that were given and a batch of 1; with open dimensions where that is not enough."""
    from edgec.passes.static_shapes import StaticShapes, StaticShapesOptions

    if not shapes and not open_dimensions(model):
        return model
    step = StaticShapes(StaticShapesOptions(shapes=dict(shapes)))
    try:
        result = step.run(model.clone(), PassContext(progress=progress))
    except EdgecError as problem:
        if shapes or problem.code not in (DYNAMIC_DIMENSION, UNKNOWN_RANK):
            raise
        notes.append(f"some dimensions are open, so some numbers are unknown; {problem.hint}")
        return model
    notes.extend(result.assumptions)
    return result.model


def _by_operator(costs: Sequence[NodeCost]) -> tuple[OperatorRow, ...]:
    groups: dict[str, list[NodeCost]] = defaultdict(list)
    for cost in costs:
        groups[cost.op].append(cost)
    rows = [
        OperatorRow(
            operator=operator,
            nodes=len(group),
            macs=_total([cost.macs for cost in group]),
            bytes=_total([_traffic(cost) for cost in group]),
        )
        for operator, group in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.macs or 0), -row.nodes, row.operator)))


def _traffic(cost: NodeCost) -> int | None:
    moved = _total([cost.input_bytes, cost.output_bytes])
    return None if moved is None else (moved + cost.weight_bytes) * cost.calls


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _tensor(value: ir.Value) -> Tensor:
    shape = None
    if value.shape is not None:
        shape = tuple(extent if isinstance(extent, int) else str(extent.value or "?") for extent in value.shape)
    return Tensor(name=str(value.name), dtype=_type_name(value.dtype), shape=shape)


def _type_name(dtype: ir.DataType | None) -> str:
    if dtype is None:
        return "unknown"
    return "string" if dtype == ir.DataType.STRING else str(dtype.numpy().name)


def _unsupported(
    model: ir.Model, target_name: str, shapes: Mapping[str, tuple[int, ...]], progress: Progress
) -> tuple[UnsupportedNode, ...]:
    """What the backend says of the model after the default recipe and the passes that it asks for."""
    from edgec.backends.selection import backend_for
    from edgec.core.pipeline import OpenGate, Pipeline
    from edgec.core.target_files import load_target
    from edgec.pass_list import pass_list

    target = load_target(target_name)
    backend = backend_for(target)
    steps = pass_list("exact", shapes, backend.prerequisites)
    context = PassContext(target=target, progress=progress)
    prepared = Pipeline(steps, OpenGate(), model_size).run(model, context).model
    return tuple(
        UnsupportedNode(node=each.node, reason=each.reason, hint=each.hint)
        for each in backend.unsupported(prepared, target)
    )
