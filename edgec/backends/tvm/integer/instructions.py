"""Instructions that multiply small integers and add the products into int32 lanes, as TVM tensor intrinsics.

Each takes a few neighbouring input channels of one output position, the weights of these channels for as many output
channels as a vector has lanes, and the accumulators of those output channels. TVM has some of them itself, but for
another place of the accumulators and for operand types that LLVM 22 no longer takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.backends.tvm.core_description import CoreDescription


@dataclass(frozen=True)
class DotInstruction:
    """A family of instructions that differ in the width of their vectors.

    Attributes:
        name: in the names of the intrinsics.
        depth: neighbouring input channels that one lane multiplies and adds up.
        data: element type of the input that it reads.
        weights: element type of the weights in memory.
        by_lanes: LLVM's name of the instruction for each number of int32 lanes.
        spreads: whether all lanes take the same elements of the input. Else each has its own, as bytes of an int32.
    """

    name: str
    depth: int
    data: str
    weights: str
    by_lanes: tuple[tuple[int, str], ...]
    spreads: bool = True

    def lanes(self, wanted: int) -> int:
        """The narrowest vector of at least `wanted` lanes, or else the widest."""
        widths = sorted(width for width, _ in self.by_lanes)
        return next((width for width in widths if width >= wanted), widths[-1])

    def intrinsic(self, lanes: int) -> str:
        """The name of the tensor intrinsic for a number of lanes, which is registered if it is not yet."""
        from tvm.s_tir import TensorIntrin

        name = f"edgec_{self.name}_{self.weights}_{lanes}{'' if self.spreads else '_by_lane'}"
        if TensorIntrin.get(name, allow_missing=True) is None:
            llvm_name = dict(self.by_lanes)[lanes]
            described = _description(self, lanes) if self.spreads else _description_by_lane(self, lanes)
            TensorIntrin.register(name, described, _implementation(self, lanes, llvm_name))
        return name


_VNNI = tuple((bits // 32, f"llvm.x86.avx512.vpdpbusd.{bits}") for bits in (128, 256, 512))
_SDOT = ((4, "llvm.aarch64.neon.sdot"),)
_PAIRWISE = ((4, "llvm.aarch64.neon.smull"),)
_PAIRS = ((4, "llvm.x86.sse2.pmadd.wd"), (8, "llvm.x86.avx2.pmadd.wd"), (16, "llvm.x86.avx512.pmaddw.d.512"))


def dot_instruction(core: CoreDescription, weights: str) -> DotInstruction | None:
    """The best instruction of a core for weights of some type; None if plain multiplications must do.

    Weights of int16 are those that do not fit eight bits once their zero point is taken off.
    """

    def usable(by_lanes: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
        return tuple((lanes, name) for lanes, name in by_lanes if lanes <= core.float_lanes)

    if core.dot_product == "vnni" and weights == "int8":
        return DotInstruction("vpdpbusd", 4, "uint8", weights, usable(_VNNI))
    if core.dot_product == "sdot" and weights == "int8":
        return DotInstruction("sdot", 4, "int8", weights, usable(_SDOT))
    if core.multiplies_by_lane and weights == "int8" and usable(_PAIRWISE):
        return DotInstruction("smull", 2, "int8", weights, usable(_PAIRWISE))
    if core.multiplies_pairs and usable(_PAIRS):
        return DotInstruction("pmaddwd", 2, "int16", weights, usable(_PAIRS))
    return None


def lane_instruction(core: CoreDescription, weights: str) -> DotInstruction | None:
    """The instruction of a core that adds up several products in each lane, from bytes of its own; None without one."""
    found = dot_instruction(core, weights)
    return replace(found, spreads=False) if found is not None and found.name == "vpdpbusd" else None


def _description(instruction: DotInstruction, lanes: int) -> Any:  # noqa: ANN401  TVM ships no types
    """What the instruction computes, as loops."""
    from tvm.script import tirx as T  # noqa: N812  as TVM's parser knows it

    depth, data, weights = instruction.depth, instruction.data, instruction.weights

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        x = T.match_buffer(a, (depth,), data, offset_factor=1)
        w = T.match_buffer(b, (lanes, depth), weights, offset_factor=1)
        sums = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(sums[0:lanes], x[0:depth], w[0:lanes, 0:depth])
            T.writes(sums[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, depth):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        sums[vi] = sums[vi] + T.cast(x[vk], "int32") * T.cast(w[vi, vk], "int32")

    return description


def _description_by_lane(instruction: DotInstruction, lanes: int) -> Any:  # noqa: ANN401  TVM ships no types
    """What the instruction computes where each lane has elements of its own."""
    from tvm.script import tirx as T  # noqa: N812  as TVM's parser knows it

    depth, weights = instruction.depth, instruction.weights

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        x = T.match_buffer(a, (lanes,), "int32", offset_factor=1)
        w = T.match_buffer(b, (lanes, depth), weights, offset_factor=1)
        sums = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(sums[0:lanes], x[0:lanes], w[0:lanes, 0:depth])
            T.writes(sums[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, depth):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        sums[vi] = sums[vi] + T.bitwise_and(T.shift_right(x[vi], vk * 8), 255) * T.cast(
                            w[vi, vk], "int32"
                        )

    return description


def _implementation(instruction: DotInstruction, lanes: int, llvm_name: str) -> Any:  # noqa: ANN401
    """The same as one call of the instruction."""
    from tvm.script import tirx as T  # noqa: N812  as TVM's parser knows it

    weights = instruction.weights
    depth, data = instruction.depth, instruction.data
    read, data = (depth, data) if instruction.spreads else (lanes, "int32")

    def combined(x: Any, w: Any, sums: Any) -> Any:  # noqa: ANN401
        return _combined(instruction, lanes, llvm_name, x, w, sums)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        x = T.match_buffer(a, (read,), data, offset_factor=1)
        w = T.match_buffer(b, (lanes, depth), weights, offset_factor=1)
        sums = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(sums[0:lanes], x[0:read], w[0:lanes, 0:depth])
            T.writes(sums[0:lanes])
            sums[T.ramp(T.int32(0), 1, lanes)] = combined(x, w, sums)

    return implementation


def _combined(instruction: DotInstruction, lanes: int, llvm_name: str, data: Any, weights: Any, sums: Any) -> Any:  # noqa: ANN401
    """The new accumulators: an expression of the buffers."""
    import tvm
    from tvm import tirx

    depth, wide = instruction.depth, f"int32x{lanes}"
    identifier = tirx.const(tvm.target.codegen.llvm_lookup_intrinsic_id(llvm_name), "uint32")
    if instruction.spreads:
        read = np.dtype(instruction.data).itemsize * depth
        word = tirx.reinterpret(f"int{8 * read}", data.vload([0], f"{instruction.data}x{depth}"))
        words = tirx.Broadcast(word, lanes)
    else:
        words = data.vload([0], wide)
    spread = tirx.reinterpret(f"{instruction.data}x{lanes * depth}", words)
    factors = weights.vload([0, 0], f"{instruction.weights}x{lanes * depth}")
    old = sums.vload([0], wide)
    match instruction.name:
        case "vpdpbusd":
            operands = (old, spread, factors)
        case "sdot":
            operands = (old, factors, spread)
        case "smull":
            # LLVM makes one instruction, sadalp, of both additions.
            products = tirx.call_llvm_pure_intrin(f"int16x{lanes * depth}", identifier, factors, spread)
            pairwise = tvm.target.codegen.llvm_lookup_intrinsic_id("llvm.aarch64.neon.saddlp")
            return old + tirx.call_llvm_pure_intrin(wide, tirx.const(pairwise, "uint32"), products)
        case _:
            narrow = f"int16x{lanes * depth}"
            extended = factors if instruction.weights == "int16" else tirx.Cast(narrow, factors)
            return old + tirx.call_llvm_pure_intrin(wide, identifier, spread, extended)
    return tirx.call_llvm_pure_intrin(wide, identifier, *operands)
