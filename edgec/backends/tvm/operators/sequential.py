"""Kernels written as plain loops, for operators that compute one element after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from edgec.backends.tvm.operators.emission import Reader

Buffer = Any
"""A flat buffer that is read and written by position."""

Loops = Callable[[list[Buffer], list[Buffer]], None]
"""Writes the loops; takes the inputs and the outputs as flat, row-major buffers."""


def loops(
    name: str, inputs: Sequence[Reader], outputs: Sequence[tuple[Sequence[int], str]], write: Loops
) -> list[Reader]:
    """The tensors that some loops compute; inputs and outputs, given as (shape, dtype), are in ONNX's order."""

    def generate(read: Sequence[Any], written: Sequence[Any]) -> Buffer:
        with IRBuilder() as builder:
            with script.seq_scope():
                write([script.buffer_proxy(one) for one in read], [script.buffer_proxy(one) for one in written])
            return builder.get()

    buffers = [
        tirx.decl_buffer(tuple(shape), dtype, f"{name}_output{number}", layout=None)
        for number, (shape, dtype) in enumerate(outputs)
    ]
    made = te.extern(
        [tuple(shape) for shape, _ in outputs],
        [reader.tensor for reader in inputs],
        generate,
        dtype=[dtype for _, dtype in outputs],
        out_buffers=buffers,
        name=name,
    )
    return [Reader(tensor) for tensor in (made if len(outputs) > 1 else [made])]
