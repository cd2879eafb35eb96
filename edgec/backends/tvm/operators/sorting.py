"""The largest elements along an axis: ArgMax, ArgMin, TopK."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir
from tvm import tirx
from tvm.script.ir_builder import tirx as script

from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.arithmetic import limits
from edgec.backends.tvm.operators.emission import (
    Expression,
    Form,
    Inline,
    Reader,
    emit,
    existing_form,
    normalized_axis,
    optional_input,
    required_input,
    stage,
)
from edgec.backends.tvm.operators.reduction import largest_over, reduced, reducing, smallest_over
from edgec.backends.tvm.operators.sequential import Buffer, loops


@lowers("ArgMax", "ArgMin")
def extremum_position(node: ir.Node, lowering: Lowering) -> None:
    """The index of the largest or smallest element along an axis: the first, or the last of equal ones."""
    source = existing_form(lowering, required_input(node, 0))
    axis = normalized_axis(node.attributes.get_int("axis", 0), len(source.shape))
    keeps = bool(node.attributes.get_int("keepdims", 1))
    takes_last = bool(node.attributes.get_int("select_last_index", 0))
    kept = [number for number in range(len(source.shape)) if keeps or number != axis]
    shape = [1 if number == axis else source.shape[number] for number in kept]
    last = source.channels_last and keeps
    extreme = largest_over if node.op_type == "ArgMax" else smallest_over
    nowhere = 0 if takes_last else source.shape[axis] - 1

    def build(readers: list[Reader]) -> Reader:
        best = reduced(readers[0], (axis,), extreme, channels_last=source.channels_last, name="extreme")

        def place(*i: Expression) -> Expression:
            winner = tirx.EQ(readers[0](*i), best(*i[:axis], 0, *i[axis + 1 :]))
            return tirx.Select(winner, tirx.Cast("int32", i[axis]), tirx.const(nowhere, "int32"))

        combine = largest_over if takes_last else smallest_over
        pick = reducing(Inline(source.shape, place), (axis,), combine, lambda x: x, kept)
        found = stage(shape, pick, channels_last=last, name="position")
        return stage(shape, lambda *i: tirx.Cast("int64", found(*i)), channels_last=last, name="index")

    emit(lowering, node, Pattern.REDUCTION, [source], [(node.outputs[0], shape, "int64")], build, channels_last=last)


@lowers("TopK")
def top_k(node: ir.Node, lowering: Lowering) -> None:
    """The k largest or smallest elements along an axis in order, and their indices; the first of equal ones first."""
    source = Form(lowering.value(required_input(node, 0)), False)
    given = optional_input(node, 1)
    count = (
        node.attributes.get_int("k", 1)
        if given is None
        else int(lowering.required_constant(given, "number of elements k").reshape(-1)[0])
    )
    axis = normalized_axis(node.attributes.get_int("axis", -1), len(source.shape))
    largest = bool(node.attributes.get_int("largest", 1))
    shape = (*source.shape[:axis], count, *source.shape[axis + 1 :])
    dtype = source.value.dtype
    inner, extent = math.prod(source.shape[axis + 1 :]), source.shape[axis]
    outer = math.prod(source.shape[:axis])

    def build(readers: list[Reader]) -> list[Reader]:
        return loops(
            "top_k",
            readers,
            [(shape, dtype), (shape, "int64")],
            lambda read, written: _insertion(read[0], written, (outer, extent, inner), count, largest=largest),
        )

    outputs = [(node.outputs[0], shape, dtype), (node.outputs[1], shape, "int64")]
    emit(lowering, node, Pattern.OPAQUE, [source], outputs, build)


def _insertion(
    read: Buffer, written: list[Buffer], extents: tuple[int, int, int], count: int, *, largest: bool
) -> None:
    """Insert each element into the sorted list of the best so far, where it is better than the worst of them."""
    values, positions = written
    outer, extent, inner = extents
    nowhere = tirx.const(-1, "int64")
    worst = tirx.const(limits(str(values.dtype))[0 if largest else 1], str(values.dtype))
    better: Callable[[Expression, Expression], Expression] = (lambda x, y: x > y) if largest else (lambda x, y: x < y)
    with script.serial(0, outer * inner) as row:
        first = tirx.indexdiv(row, inner) * extent * inner + tirx.indexmod(row, inner)
        target = tirx.indexdiv(row, inner) * count * inner + tirx.indexmod(row, inner)
        with script.serial(0, count) as slot:
            values[target + slot * inner] = worst
            positions[target + slot * inner] = nowhere
        with script.serial(0, extent) as place:
            candidate = read[first + place * inner]

            def beats(at: Expression) -> Expression:
                return tirx.Or(positions[at] < 0, better(candidate, values[at]))

            with script.If(beats(target + (count - 1) * inner)), script.Then(), script.serial(0, count) as step:
                at = target + (count - 1 - step) * inner
                previous = target + tirx.max(count - 2 - step, 0) * inner
                with script.If(beats(at)), script.Then(), script.If(tirx.And(step < count - 1, beats(previous))):
                    with script.Then():
                        values[at] = values[previous]
                        positions[at] = positions[previous]
                    with script.Else():
                        values[at] = candidate
                        positions[at] = tirx.Cast("int64", place)
