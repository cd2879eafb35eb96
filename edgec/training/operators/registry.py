"""The table of operators that can be imported."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from brevitas.backport import fx

from edgec.training.graph_writer import GraphWriter

Operator = Callable[[GraphWriter, ir.Node], fx.Node | list[fx.Node]]
"""Writes an ONNX node as torch, one FX node for each of its outputs; raises NoTorchFormError."""

OPERATORS: dict[str, Operator] = {}


def operator(*op_types: str) -> Callable[[Operator], Operator]:
    """Enter a function in the table, as the form of these operator types."""

    def enter(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(op_types, function))
        return function

    return enter
