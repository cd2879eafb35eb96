"""Einsum: sums of products over named axes."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir
from tvm import te

from edgec.backends.tvm.kernel_graph import Pattern, UnsupportedNodeError
from edgec.backends.tvm.lowering import Lowering, lowers
from edgec.backends.tvm.operators.emission import Expression, Form, Reader, emit, required_input, stage
from edgec.backends.tvm.operators.reduction import sum_over


def _terms(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The names of the axes of each operand and of the result, with letters of their own for an ellipsis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    unused = [chr(code) for code in range(ord("\u03b1"), ord("\u03b1") + 16)]
    broadcast = max((rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0)
    letters = "".join(unused[:broadcast])
    expanded = [
        term.replace("...", letters[broadcast - (rank - len(term) + 3) :]) if "..." in term else term
        for term, rank in zip(terms, ranks, strict=True)
    ]
    if not arrow:
        joined = left.replace(",", "").replace(".", "")
        right = "..." * bool(broadcast) + "".join(sorted(name for name in set(joined) if joined.count(name) == 1))
    return expanded, right.replace("...", letters)


@lowers("Einsum")
def einsum(node: ir.Node, lowering: Lowering) -> None:
    """The equation's sum, in one kernel."""
    operands = [Form(lowering.value(required_input(node, number)), False) for number in range(len(node.inputs))]
    equation = node.attributes.get_string("equation", "")
    if equation.replace(" ", "").partition("->")[0].count(",") != len(operands) - 1:
        raise UnsupportedNodeError(
            f"its equation {equation} does not fit its inputs", "run the ONNX checker on the model"
        )
    terms, result = _terms(equation, [len(operand.shape) for operand in operands])
    extents: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for name, extent in zip(term, operand.shape, strict=True):
            extents[name] = max(extents.get(name, 1), extent)
    shape = tuple(extents[name] for name in result)
    summed = sorted(set(extents) - set(result))
    dtype = operands[0].value.dtype

    def build(readers: list[Reader]) -> Reader:
        over: dict[str, Any] = {name: te.reduce_axis((0, extents[name]), name=f"k{i}") for i, name in enumerate(summed)}

        def at(*indices: Expression) -> Expression:
            known = {**dict(zip(result, indices, strict=True)), **over}
            product = None
            for reader, term in zip(readers, terms, strict=True):
                where = [0 if extent == 1 else known[name] for name, extent in zip(term, reader.shape, strict=True)]
                product = reader(*where) if product is None else product * reader(*where)
            return sum_over(product, list(over.values()))

        return stage(shape, at, name="einsum")

    pattern = Pattern.REDUCTION if summed else Pattern.INJECTIVE
    macs = math.prod(extents.values()) * (len(operands) - 1)
    emit(lowering, node, pattern, operands, [(node.outputs[0], shape, dtype)], build, macs=macs)
