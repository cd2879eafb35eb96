"""What a launcher must know to run a network: buffers, kernels and launches, as data.

A launcher makes one device buffer for each input and each output, one for the weights, and one for the arena; compiles
the program; sets the arguments of each launch, and enqueues the launches in order, then the copies. Between launches
it calls functions that run on the processor, if there are some. Shapes are static, so nothing else is passed to a
kernel:

- `cuda`: an argument is one pointer, the buffer's address plus `offset_bytes`.
- `opencl`: an argument is two kernel arguments, the buffer (`cl_mem`) and then `offset_bytes` as `cl_uint`. Sub-buffers
  would have to begin at multiples that differ from device to device.

Kernels that call the device several times over the same buffers run in the order of the launches: a launch may read
what the one before it wrote. Buffers must begin at multiples of 64 bytes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from edgec.core.tensor import TensorSpec

Language = Literal["cuda", "opencl"]
"""The source language of a program."""

Extents = tuple[int, int, int]
"""Extents along x, y and z."""


class BufferSpace(StrEnum):
    """Which buffer an argument lies in.

    INPUT: that of one of the model's inputs.
    OUTPUT: that of one of the model's outputs; kernels may also read what others wrote there.
    WEIGHTS: constants, never written.
    ARENA: intermediate tensors.
    """

    INPUT = "input"
    OUTPUT = "output"
    WEIGHTS = "weights"
    ARENA = "arena"


@dataclass(frozen=True)
class Argument:
    """A tensor in a buffer.

    Attributes:
        space: which buffer.
        index: which input or output; 0 elsewhere.
        offset_bytes: where the tensor begins in the buffer.
        size_bytes: from its first byte to its last; a view of rows that lie apart covers more than its elements.
    """

    space: BufferSpace
    index: int
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Launch:
    """One kernel call.

    Attributes:
        kernel: name of the function in the program.
        node: the ONNX node that gives the kernel its name.
        op: ONNX operator of that node.
        step: number of the layer that the kernel computes, or a part of it.
        arguments: in the order of the kernel's parameters.
        grid: groups of threads (CUDA's grid; OpenCL's global size is `grid * block`).
        block: threads of a group (OpenCL's local size).
    """

    kernel: str
    node: str
    op: str
    step: int
    arguments: tuple[Argument, ...]
    grid: Extents
    block: Extents


@dataclass(frozen=True)
class HostCall:
    """A C function that runs on the processor, between launches.

    It works on the caller's inputs and outputs and on an arena of its own, with the same offsets as on the device.

    Attributes:
        function: its name.
        nodes: the ONNX nodes that it computes; each is a loop, a branch, or the node that a kernel is named after.
        before: number of the launch that waits for it; the number of launches if it comes after the last.
        reads: tensors in the arena and in outputs, copied from the device before the call.
        writes: likewise, copied to the device after it.
    """

    function: str
    nodes: tuple[str, ...]
    before: int
    reads: tuple[Argument, ...]
    writes: tuple[Argument, ...]


@dataclass(frozen=True)
class BufferCopy:
    """Bytes copied on the device after the last launch: an output that is an input, a constant or another output."""

    source: Argument
    destination: Argument


@dataclass(frozen=True)
class GpuProgram:
    """Source code for the device.

    Attributes:
        language: what `source` is written in.
        source: all kernels; it needs no other file.
        kernels: names of its entry points, each once.
    """

    language: Language
    source: str
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class LaunchPlan:
    """A network as launches.

    Attributes:
        symbol: the network's name as a C identifier.
        inputs: in the order of the interface; dense, row-major, in ONNX's layout.
        outputs: likewise.
        arena_bytes: size of the arena; 0 if there is none.
        weights: contents of the buffer of constants; never empty.
        program: the kernels.
        launches: in order.
        copies: after the launches.
        host_calls: in order, if some of the network runs on the processor.
    """

    symbol: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    arena_bytes: int
    weights: bytes
    program: GpuProgram
    launches: tuple[Launch, ...]
    copies: tuple[BufferCopy, ...] = ()
    host_calls: tuple[HostCall, ...] = ()

    def to_json(self) -> str:
        """The plan without the contents of the weights and without the source, readable and the same each time."""
        plan = {
            "symbol": self.symbol,
            "inputs": [spec.model_dump() for spec in self.inputs],
            "outputs": [spec.model_dump() for spec in self.outputs],
            "arena_bytes": self.arena_bytes,
            "weights_bytes": len(self.weights),
            "language": self.program.language,
            "kernels": list(self.program.kernels),
            "launches": [dataclasses.asdict(launch) for launch in self.launches],
            "host_calls": [dataclasses.asdict(call) for call in self.host_calls],
            "copies": [dataclasses.asdict(copy) for copy in self.copies],
        }
        return json.dumps(plan, indent=1) + "\n"
