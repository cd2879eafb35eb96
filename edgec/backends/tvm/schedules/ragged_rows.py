"""Rows whose length is no multiple of a vector, made one: sums go on over places behind the row that count nothing."""

from __future__ import annotations

from typing import Any

from edgec.backends.tvm.schedules.kernel_schedule import Block, Function, KernelSchedule, Loop

Node = Any
"""A node of TIR; TVM ships no types."""


def lengthen_rows(kernel: KernelSchedule, rows: list[tuple[Block, Loop]], multiple: int) -> None:
    """Let the last loop of some reductions run to the next multiple; the elements behind the row are not read.

    Args:
        kernel: the kernel's schedule; handles got before are void afterwards.
        rows: reductions that are not transformed yet, each with its last loop.
        multiple: what the length of the loops shall be a multiple of.
    """
    function = kernel.function()
    for block, loop in rows:
        function = _lengthened(function, kernel.schedule.get(block), kernel.schedule.get(loop), multiple)
    kernel.replace(function)


def _lengthened(function: Function, block: Node, loop: Node, multiple: int) -> Function:
    from tvm import s_tir, tirx
    from tvm_ffi import structural_map

    extent = int(loop.extent)
    longer = -(-extent // multiple) * multiple
    name = str(block.name_hint)
    axis = next(variable for variable in block.iter_vars if str(variable.var.name) == _axis_of(block, extent))

    def longer_loop(node: Node) -> Node:
        if not node.loop_var.same_as(loop.loop_var):
            return node
        return tirx.For(
            node.loop_var, node.min, tirx.const(longer, "int32"), node.kind, node.body, None, node.annotations
        )

    def longer_block(node: Node) -> Node:
        return _longer_block(node, axis.var, extent, longer) if str(node.name_hint) == name else node

    return structural_map(function, ((tirx.For, longer_loop), (s_tir.SBlock, longer_block)))


def _axis_of(block: Node, extent: int) -> str:
    """The name of the last axis that a block sums over."""
    summed = [variable for variable in block.iter_vars if int(variable.iter_type) == 2]
    return str(next(variable for variable in reversed(summed) if int(variable.dom.extent) == extent).var.name)


def _longer_block(block: Node, axis: Node, extent: int, longer: int) -> Node:
    import tvm
    from tvm import s_tir, tirx

    variables = [
        tirx.IterVar(tvm.ir.Range(0, longer), variable.var, variable.iter_type, variable.thread_tag)
        if variable.var.name == axis.name
        else variable
        for variable in block.iter_vars
    ]
    own = next(variable.var for variable in variables if variable.var.name == axis.name)
    value, start = block.body.value, block.init.value
    counted = tirx.if_then_else(tirx.likely(own < extent), value.b, start)
    body = tirx.BufferStore(block.body.buffer, type(value)(value.a, counted), block.body.indices)
    return s_tir.SBlock(
        variables,
        block.reads,
        block.writes,
        block.name_hint,
        body,
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )
