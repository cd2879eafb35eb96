"""Pass `lower-recurrent`: LSTM, GRU and RNN become a matrix product over the whole sequence and a Scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgec.core.passes import Kind, Pass, PassContext, PassResult, Skip
from edgec.passes.graph_edit import (
    Names,
    constant,
    graph_of,
    input_of,
    insert_before,
    nodes_of,
    replace_value,
    static_shape,
)
from edgec.passes.node_writer import NodeWriter
from edgec.passes.recurrent_cell import GATES, Activation, Cell, UnknownActivationError, activations_of
from edgec.passes.shape_inference import infer_shapes


class LowerRecurrent(Pass):
    """Spell recurrent nodes out for backends that have loops but no recurrent operators.

    Case 1: the input projection with all biases that do not depend on the state is one MatMul over all time steps.
    Case 2: the recurrence is a Scan with one MatMul a step; two for a GRU without `linear_before_reset`.
    Case 3: a sequence of one step needs no Scan: the step stands in the graph itself.
    Case 4: a reversed direction scans from the end; two directions are two Scans, joined by Concat.
    Case 5: `sequence_lens` that are constant and equal to the number of steps are ignored; others, constant or
        computed, freeze the states of a sequence that has ended and make its outputs 0.
    Case 6: weights that are computed at run time (behind a DequantizeLinear) are sliced and transposed in the graph.

    All activation functions that ONNX lists, `clip`, peepholes, `input_forget`, `layout` 0 and 1, absent or present
    initial states and any subset of the outputs are handled. Source: the equations of the ONNX operators.
    """

    name: ClassVar[str] = "lower-recurrent"
    kind: ClassVar[Kind] = Kind.EXACT

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Lower in place."""
        names = Names(model)
        lowered = 0
        skipped: list[Skip] = []
        for node in nodes_of(model, "LSTM", "GRU", "RNN"):
            try:
                _lower(model, _Recurrent.of(node), names)
                lowered += 1
            except _StaysError as obstacle:
                skipped.append(Skip(str(node.name), str(obstacle)))
        if lowered:
            infer_shapes(model)
        return PassResult(model, modified=lowered > 0, stats={"lowered": lowered}, skipped=tuple(skipped))


class _StaysError(Exception):
    """A recurrent node cannot be lowered; the message says why."""


@dataclass(frozen=True, eq=False)
class _Recurrent:
    """A recurrent node with its attributes.

    Attributes:
        node: the node.
        steps: length of the sequence T.
        batch: sequences in parallel B.
        hidden: hidden units h.
        reversed_directions: for each direction, whether it runs from the end.
        activations: for each direction, its functions.
        dtype: numpy type of the values.
        batch_first: `layout` is 1.
    """

    node: ir.Node
    steps: int
    batch: int
    hidden: int
    reversed_directions: tuple[bool, ...]
    activations: tuple[tuple[Activation, ...], ...]
    dtype: np.dtype[np.generic]
    batch_first: bool

    @classmethod
    def of(cls, node: ir.Node) -> _Recurrent:
        """Read the attributes.

        Raises:
            _StaysError: the shape of the input is not static, or an attribute is none that ONNX lists.
        """
        source, recurrence = input_of(node, 0), input_of(node, 2)
        shape, weights_shape = static_shape(source), static_shape(recurrence)
        if shape is None or source is None or source.dtype is None or len(shape) != 3:
            raise _StaysError("the shape of its input is not static")
        if weights_shape is None or len(weights_shape) != 3:
            raise _StaysError("the shape of its weights is not static")
        direction = node.attributes.get_string("direction", "forward")
        directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}.get(direction)
        if directions is None or weights_shape[0] != len(directions):
            raise _StaysError(f"direction {direction} with weights for {weights_shape[0]}")
        batch_first = bool(node.attributes.get_int("layout", 0))
        steps, batch = (shape[1], shape[0]) if batch_first else (shape[0], shape[1])
        if steps == 0:
            raise _StaysError("its sequence is empty")
        _check_shapes(node, shape[2], weights_shape, batch_first)
        attributes = node.attributes
        try:
            activations = activations_of(
                node.op_type,
                attributes.get_strings("activations", []),
                attributes.get_floats("activation_alpha", []),
                attributes.get_floats("activation_beta", []),
                len(directions),
            )
        except UnknownActivationError as error:
            raise _StaysError(str(error)) from error
        dtype = source.dtype.numpy()
        return cls(node, steps, batch, weights_shape[2], directions, tuple(activations), dtype, batch_first)


def _check_shapes(node: ir.Node, features: int, weights_shape: tuple[int, ...], batch_first: bool) -> None:
    """Compare the shapes of weights, biases and states with the standard.

    Raises:
        _StaysError: a shape contradicts it; the standard is then silent on what the node computes.
    """
    directions, rows, hidden = weights_shape
    gates = GATES[node.op_type]
    wanted: dict[int, tuple[str, tuple[int, ...]]] = {
        1: ("W", (directions, rows, features)),
        3: ("B", (directions, 2 * rows)),
        7: ("P", (directions, 3 * hidden)),
    }
    if rows != gates * hidden:
        raise _StaysError(f"its weights R have {rows} rows for {gates} gates of {hidden} units")
    for index, (name, shape) in wanted.items():
        value = input_of(node, index)
        if value is not None and static_shape(value) != shape:
            raise _StaysError(f"{name} should have the shape {shape}, not {value.shape}")
    for index in (5, 6):
        value = input_of(node, index)
        state_shape = static_shape(value)
        if value is not None and (state_shape is None or state_shape[1 if batch_first else 0 :][:1] != (directions,)):
            raise _StaysError(f"the initial state {value.name} does not fit the directions")


def _lower(model: ir.Model, recurrent: _Recurrent, names: Names) -> None:
    node = recurrent.node
    write = NodeWriter(model, names, str(node.name))
    source = node.inputs[0]
    if recurrent.batch_first and source is not None:
        source = write.one("Transpose", source, perm=[1, 0, 2])
    mask = _mask(recurrent, write)
    sequences, finals = [], []
    for direction in range(len(recurrent.reversed_directions)):
        sequence, states = _direction(recurrent, direction, source, mask, write)
        sequences.append(write.unsqueeze(sequence, 1))
        finals.append([write.unsqueeze(state, 0) for state in states])
    results = [_joined(sequences, 1, write)]
    results += [_joined([states[i] for states in finals], 0, write) for i in range(len(finals[0]))]
    if recurrent.batch_first:
        permutations = ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2])
        results = [write.one("Transpose", r, perm=p) for r, p in zip(results, permutations, strict=False)]
    used = [(output, new) for output, new in zip(node.outputs, results, strict=False) if output.name]
    insert_before(node, write.nodes)
    for output, new in used:
        new.type, new.shape = output.type, output.shape
        replace_value(output, new, names)
    graph_of(node).remove(node, safe=True)


def _joined(values: list[ir.Value], axis: int, write: NodeWriter) -> ir.Value:
    return values[0] if len(values) == 1 else write.one("Concat", *values, axis=axis)


def _mask(recurrent: _Recurrent, write: NodeWriter) -> ir.Value | None:
    """Case 5: which steps of which sequence are within its length, bool of shape (T, B, 1); None if all are."""
    lengths = input_of(recurrent.node, 4)
    if lengths is None:
        return None
    known = constant(lengths)
    if known is not None and (known == recurrent.steps).all():
        return None
    steps = write.constant("steps", np.arange(recurrent.steps, dtype=np.int32).reshape(-1, 1, 1))
    if known is not None:
        inside = np.arange(recurrent.steps).reshape(-1, 1, 1) < known.reshape(1, -1, 1)
        return write.constant("within_length", inside)
    column = write.one("Reshape", lengths, write.integers("shape", 1, recurrent.batch, 1))
    return write.one("Less", steps, column)


def _direction(
    recurrent: _Recurrent, direction: int, source: ir.Value | None, mask: ir.Value | None, write: NodeWriter
) -> tuple[ir.Value, list[ir.Value]]:
    """One direction: all hidden states (T, B, h) and the final states (B, h)."""
    node, hidden = recurrent.node, recurrent.hidden
    weights = _slice_transposed(node.inputs[1], direction, "input_weights", write)
    projected = write.one("MatMul", source, weights)
    bias, hidden_bias = _biases(recurrent, direction, write)
    if bias is not None:
        projected = write.one("Add", projected, bias)
    attributes = node.attributes
    clip = attributes.get_float("clip", 0.0) if "clip" in attributes else 0.0
    cell = Cell(
        kind=node.op_type,
        hidden=hidden,
        dtype=recurrent.dtype,
        recurrence=_slice_transposed(node.inputs[2], direction, "recurrence", write),
        hidden_bias=hidden_bias,
        peepholes=_peepholes(recurrent, direction, write),
        activations=recurrent.activations[direction],
        clip=clip if clip > 0 else None,
        linear_before_reset=bool(attributes.get_int("linear_before_reset", 0)),
        input_forget=bool(attributes.get_int("input_forget", 0)),
    )
    inputs = (5, 6) if node.op_type == "LSTM" else (5,)
    states = [_initial_state(recurrent, index, direction, write) for index in inputs]
    if recurrent.steps == 1:
        return _single_step(cell, projected, states, mask, write)
    return _scan(recurrent, cell, direction, projected, states, mask, write)


def _masked_step(
    cell: Cell, projected: ir.Value, states: list[ir.Value], mask: ir.Value | None, write: NodeWriter
) -> tuple[ir.Value, list[ir.Value]]:
    """A step: the output of the step, and the next states."""
    following = cell.step(write, projected, states)
    if mask is None:
        return following[0], following
    zero = write.constant("zero", np.array(0, dtype=cell.dtype))
    output = write.one("Where", mask, following[0], zero)
    return output, [write.one("Where", mask, new, old) for new, old in zip(following, states, strict=True)]


def _single_step(
    cell: Cell, projected: ir.Value, states: list[ir.Value], mask: ir.Value | None, write: NodeWriter
) -> tuple[ir.Value, list[ir.Value]]:
    """Case 3."""
    now = write.squeeze(projected, 0)
    mask_now = write.squeeze(mask, 0) if mask is not None else None
    output, following = _masked_step(cell, now, states, mask_now, write)
    return write.unsqueeze(output, 0), following


def _scan(
    recurrent: _Recurrent,
    cell: Cell,
    direction: int,
    projected: ir.Value,
    states: list[ir.Value],
    mask: ir.Value | None,
    write: NodeWriter,
) -> tuple[ir.Value, list[ir.Value]]:
    """Cases 2 and 4."""
    body = write.nested()
    kind = ir.TensorType(ir.DataType.from_numpy(recurrent.dtype))
    gates = GATES[cell.kind] * cell.hidden

    def parameter(role: str, shape: tuple[int, ...], type_: ir.TensorType = kind) -> ir.Value:
        return ir.Value(name=write.names.fresh(f"{write.prefix}.{role}"), type=type_, shape=ir.Shape(shape))

    roles = ("hidden", "cell")[: len(states)]
    state_parameters = [parameter(f"step_{role}", (recurrent.batch, cell.hidden)) for role in roles]
    scanned = [parameter("step_input", (recurrent.batch, gates))]
    mask_parameter = None
    if mask is not None:
        mask_parameter = parameter("step_within_length", (recurrent.batch, 1), ir.TensorType(ir.DataType.BOOL))
        scanned.append(mask_parameter)
    output, following = _masked_step(cell, scanned[0], state_parameters, mask_parameter, body)
    if output is following[0]:
        output = body.one("Identity", output)
    name = write.names.fresh(f"{write.prefix}.step")
    graph = ir.Graph([*state_parameters, *scanned], [*following, output], nodes=body.nodes, name=name)
    backwards = int(recurrent.reversed_directions[direction])
    outputs = write.several(
        "Scan",
        [*states, projected, *([mask] if mask is not None else [])],
        len(states) + 1,
        body=graph,
        num_scan_inputs=len(scanned),
        scan_input_directions=[backwards] * len(scanned),
        scan_output_directions=[backwards],
    )
    return outputs[-1], outputs[:-1]


def _slice(value: ir.Value | None, direction: int, write: NodeWriter) -> ir.Value:
    """What one direction needs of a tensor computed at run time whose first axis is the direction."""
    index = write.constant("direction", np.array(direction, dtype=np.int64))
    return write.one("Gather", value, index, axis=0)


def _slice_transposed(value: ir.Value | None, direction: int, role: str, write: NodeWriter) -> ir.Value:
    contents = constant(value)
    if contents is not None:
        return write.constant(role, np.ascontiguousarray(contents[direction].T))
    return write.one("Transpose", _slice(value, direction, write), perm=[1, 0])


def _biases(recurrent: _Recurrent, direction: int, write: NodeWriter) -> tuple[ir.Value | None, ir.Value | None]:
    """The bias for the projection, (gates·h,), and the one inside the step that a GRU may need, (h,)."""
    node, hidden = recurrent.node, recurrent.hidden
    value = input_of(node, 3)
    if value is None:
        return None, None
    gates = GATES[node.op_type]
    inner = node.op_type == "GRU" and bool(node.attributes.get_int("linear_before_reset", 0))
    contents = constant(value)
    if contents is None:
        halves = write.split(_slice(value, direction, write), (gates * hidden, gates * hidden), 0)
        if not inner:
            return write.one("Add", *halves), None
        outside, inside = write.split(halves[1], (2 * hidden, hidden), 0)
        zeros = write.constant("no_bias", np.zeros(hidden, dtype=recurrent.dtype))
        return write.one("Add", halves[0], write.one("Concat", outside, zeros, axis=0)), inside
    input_bias, state_bias = np.split(contents[direction], 2)
    if not inner:
        return write.constant("bias", input_bias + state_bias), None
    total = input_bias.copy()
    total[: 2 * hidden] += state_bias[: 2 * hidden]
    return write.constant("bias", total), write.constant("hidden_bias", state_bias[2 * hidden :].copy())


def _peepholes(recurrent: _Recurrent, direction: int, write: NodeWriter) -> tuple[ir.Value, ...]:
    value = input_of(recurrent.node, 7) if recurrent.node.op_type == "LSTM" else None
    if value is None:
        return ()
    contents = constant(value)
    if contents is None:
        return tuple(write.split(_slice(value, direction, write), (recurrent.hidden,) * 3, 0))
    roles = ("peephole_input", "peephole_output", "peephole_forget")
    parts = np.split(contents[direction], 3)
    return tuple(write.constant(role, part.copy()) for role, part in zip(roles, parts, strict=True))


def _initial_state(recurrent: _Recurrent, index: int, direction: int, write: NodeWriter) -> ir.Value:
    """The state before the first step, (B, h); zeros if none is given."""
    value = input_of(recurrent.node, index)
    if value is None:
        return write.constant("no_state", np.zeros((recurrent.batch, recurrent.hidden), dtype=recurrent.dtype))
    axis = 1 if recurrent.batch_first else 0
    if len(recurrent.reversed_directions) == 1:
        return write.squeeze(value, axis)
    which = write.constant("direction", np.array(direction, dtype=np.int64))
    return write.one("Gather", value, which, axis=axis)
