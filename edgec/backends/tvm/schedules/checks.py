"""Bounds checks as TVM's loop partitioning wants them: marked, so that it splits off the iterations that need them."""

from __future__ import annotations

from typing import Any

from edgec.backends.tvm.schedules.kernel_schedule import Function

Expression = Any
"""A TIR expression."""


def with_marked_checks(function: Function) -> Function:
    """The function with each part of the condition of each `if_then_else` marked as likely."""
    from tvm import tirx
    from tvm.ir import Call
    from tvm_ffi import structural_map

    def marked(call: Expression) -> Expression:
        if getattr(call.op, "name", "") != "tirx.if_then_else":
            return call
        condition, inside, outside = call.args
        return tirx.if_then_else(_likely(condition), inside, outside)

    return structural_map(function, (Call, marked))


def _likely(condition: Expression) -> Expression:
    from tvm import tirx

    if isinstance(condition, tirx.And):
        return tirx.And(_likely(condition.a), _likely(condition.b))
    return tirx.likely(condition)
