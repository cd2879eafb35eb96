"""Running sums and products along an axis."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir
from tvm import tirx
from tvm.script.ir_builder import tirx as script

from edgec.backends.tvm.kernel_graph import Pattern
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import Form, Reader, emit, normalized_axis, required_input
from edgec.backends.tvm.operators.sequential import loops


@lowers("CumSum", "CumProd")
def running(node: ir.Node, lowering: Lowering) -> None:
    """The sum or product of the elements up to each one, with it or without it, from either end."""
    source = Form(lowering.value(required_input(node, 0)), False)
    given = int(lowering.required_constant(required_input(node, 1), "axis").reshape(-1)[0])
    axis = normalized_axis(given, len(source.shape))
    exclusive = bool(node.attributes.get_int("exclusive", 0))
    backwards = bool(node.attributes.get_int("reverse", 0))
    dtype = source.value.dtype
    outer, extent = math.prod(source.shape[:axis]), source.shape[axis]
    inner = math.prod(source.shape[axis + 1 :])
    is_sum = node.op_type == "CumSum"
    start = tirx.const(0 if is_sum else 1, dtype)

    def write(read: list[Any], written: list[Any]) -> None:
        with script.serial(0, outer * inner) as row, script.serial(0, extent) as step:
            first = tirx.indexdiv(row, inner) * extent * inner + tirx.indexmod(row, inner)
            place = extent - 1 - step if backwards else step
            before = place + 1 if backwards else place - 1
            at = first + place * inner
            earlier = first + tirx.max(tirx.min(before, extent - 1), 0) * inner
            so_far = tirx.if_then_else(step > 0, written[0][earlier], start)
            element = read[0][earlier] if exclusive else read[0][at]
            combined = so_far + element if is_sum else so_far * element
            written[0][at] = tirx.if_then_else(step > 0, combined, start) if exclusive else combined

    def build(readers: list[Reader]) -> list[Reader]:
        return loops("running", readers, [(source.shape, dtype)], write)

    emit(lowering, node, Pattern.OPAQUE, [source], [(node.outputs[0], source.shape, dtype)], build)
