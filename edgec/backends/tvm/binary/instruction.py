"""The step of a binary sum as a TVM tensor intrinsic: words compared bit by bit, and the bits that differ counted.

LLVM turns the count of a vector into the best that a core has: vpopcntd (AVX512-VPOPCNTDQ), lookups of half bytes
(pshufb: AVX2), cnt and pairwise sums (NEON).
"""

from __future__ import annotations

from typing import Any

WORD_BITS = 32
"""Channels in one word: as many bits as a lane of the sums has."""


def count_intrinsic(lanes: int) -> str:
    """The name of the intrinsic for so many lanes of the sums, two at least, which is registered if it is not yet."""
    from tvm.s_tir import TensorIntrin

    name = f"edgec_count_differing_bits_{lanes}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        TensorIntrin.register(name, _description(lanes), _implementation(lanes))
    return name


def _description(lanes: int) -> Any:  # noqa: ANN401  TVM ships no types
    """What the step computes, as loops."""
    from tvm.script import tirx as T  # noqa: N812  as TVM's parser knows it

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def description(a: T.handle, b: T.handle, c: T.handle) -> None:
        x = T.match_buffer(a, (1,), "int32", offset_factor=1)
        w = T.match_buffer(b, (lanes, 1), "int32", offset_factor=1)
        sums = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(sums[0:lanes], x[0:1], w[0:lanes, 0:1])
            T.writes(sums[0:lanes])
            for i in T.serial(0, lanes):
                # A loop of one step, as the sum has it; TVM leaves such steps out of the indices of a block.
                for _ in T.serial(0, 1):
                    with T.sblock("update"):
                        vi = T.axis.spatial(lanes, i)
                        sums[vi] = sums[vi] + T.popcount(T.bitwise_xor(x[0], w[vi, 0]))

    return description


def _implementation(lanes: int) -> Any:  # noqa: ANN401
    """The same on a whole vector."""
    from tvm.script import tirx as T  # noqa: N812  as TVM's parser knows it

    wide = f"int32x{lanes}"

    def combined(x: Any, w: Any, sums: Any) -> Any:  # noqa: ANN401
        from tvm import tirx

        words = tirx.Broadcast(x.vload([0], "int32"), lanes)
        differing = tirx.popcount(words ^ w.vload([0, 0], wide))
        return sums.vload([0], wide) + differing

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
        x = T.match_buffer(a, (1,), "int32", offset_factor=1)
        w = T.match_buffer(b, (lanes, 1), "int32", offset_factor=1)
        sums = T.match_buffer(c, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(sums[0:lanes], x[0:1], w[0:lanes, 0:1])
            T.writes(sums[0:lanes])
            sums[T.ramp(T.int32(0), 1, lanes)] = combined(x, w, sums)

    return implementation
