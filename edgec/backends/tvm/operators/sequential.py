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

    def declared(shape: Sequence[int], dtype: str, role: str) -> Buffer:
        # By default TE gives input buffers an offset that only its own calling convention fills in.
        return tirx.decl_buffer(shape, dtype, f"{name}_{role}", layout=None)

    made = te.extern(
        [tuple(shape) for shape, _ in outputs],
        [reader.tensor for reader in inputs],
        generate,
        dtype=[dtype for _, dtype in outputs],
        in_buffers=[
            declared(reader.tensor.shape, str(reader.tensor.dtype), f"input{i}") for i, reader in enumerate(inputs)
        ],
        out_buffers=[declared(tuple(shape), dtype, f"output{i}") for i, (shape, dtype) in enumerate(outputs)],
        name=name,
    )
    return [Reader(tensor) for tensor in (made if len(outputs) > 1 else [made])]
