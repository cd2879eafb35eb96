"""Functions that kernels call and TVM does not know: their names in TensorIR, and what they are on a device.

fp16 takes no header and no extension: CUDA's compiler is told the instruction, and each OpenCL device converts what it
reads by pointer. Products of four bytes are one instruction from compute capability 6.1 on; OpenCL devices without it
multiply one by one, and OpenCL C has functions for it from the extension cl_khr_integer_dot_product on.
"""

from __future__ import annotations

import re

from edgec.backends.gpu.launch_plan import Language
from edgec.backends.tvm.integer.word_product import DOT, WORD

WIDEN = "edgec_widen_"
"""From the bits of fp16 to fp32; the number of lanes follows."""
NARROW = "edgec_narrow_"
"""Back, rounded to the nearest, to even between two; the number of lanes follows."""
WORD_AT = "edgec_word_at"
"""Four neighbours in memory as a word, of which the first is given; they begin at a multiple of four bytes."""


def definitions(body: str, language: Language) -> str:
    """The functions that a source calls."""
    parts = _CUDA if language == "cuda" else _OPENCL
    return "".join(text for names, text in parts if re.search(names, body))


_HALVES = f"{WIDEN}|{NARROW}"
_WORDS = rf"{WORD}\b"
_DOTS = "|".join(DOT.values())

# TVM converts vectors element by element, by the name that has their lanes.
_CUDA = (
    (
        _HALVES,
        """\
__device__ __forceinline__ float edgec_widen_1(ushort bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
__device__ __forceinline__ ushort edgec_narrow_1(float x) {
  ushort bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
#define edgec_widen_2 edgec_widen_1
#define edgec_widen_4 edgec_widen_1
#define edgec_narrow_2 edgec_narrow_1
#define edgec_narrow_4 edgec_narrow_1
""",
    ),
    (
        _WORDS,
        """\
__device__ __forceinline__ int edgec_word(int a, int b, int c, int d) {
  return (a & 255) | (b & 255) << 8 | (c & 255) << 16 | d << 24;
}
""",
    ),
    (WORD_AT, "#define edgec_word_at(first) (*(const int*)&(first))\n"),
    (
        _DOTS,
        """\
__device__ __forceinline__ int edgec_dot_signed(int a, int b, int sum) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
__device__ __forceinline__ int edgec_dot_unsigned(int a, int b, int sum) {
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
""",
    ),
)

# Every device reads and writes fp16 by pointer; by value it takes the extension, which keeps it in registers.
_OPENCL = (
    (
        _HALVES,
        """\
#ifdef cl_khr_fp16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define edgec_widen_1(bits) convert_float(as_half(bits))
#define edgec_widen_2(bits) convert_float2(as_half2(bits))
#define edgec_widen_4(bits) convert_float4(as_half4(bits))
#define edgec_narrow_1(x) as_ushort(convert_half_rte(x))
#define edgec_narrow_2(x) as_ushort2(convert_half2_rte(x))
#define edgec_narrow_4(x) as_ushort4(convert_half4_rte(x))
#else
static float edgec_widen_1(ushort bits) { return vload_half(0, (const half*)&bits); }
static float2 edgec_widen_2(ushort2 bits) { return vload_half2(0, (const half*)&bits); }
static float4 edgec_widen_4(ushort4 bits) { return vload_half4(0, (const half*)&bits); }
static ushort edgec_narrow_1(float x) { ushort bits; vstore_half_rte(x, 0, (half*)&bits); return bits; }
static ushort2 edgec_narrow_2(float2 x) { ushort2 bits; vstore_half2_rte(x, 0, (half*)&bits); return bits; }
static ushort4 edgec_narrow_4(float4 x) { ushort4 bits; vstore_half4_rte(x, 0, (half*)&bits); return bits; }
#endif
""",
    ),
    (
        _WORDS,
        """\
static int edgec_word(int a, int b, int c, int d) {
  return (a & 255) | (b & 255) << 8 | (c & 255) << 16 | d << 24;
}
""",
    ),
    (WORD_AT, "#define edgec_word_at(first) (*(__global const int*)&(first))\n"),
    (
        _DOTS,
        """\
#if defined(cl_khr_integer_dot_product) && defined(__opencl_c_integer_dot_product_input_4x8bit_packed)
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
#define edgec_dot_signed(a, b, sum) (dot_4x8packed_ss_int(as_uint(a), as_uint(b)) + (sum))
#define edgec_dot_unsigned(a, b, sum) (dot_4x8packed_us_int(as_uint(a), as_uint(b)) + (sum))
#else
static int edgec_dot(int4 a, int b, int sum) {
  const int4 products = a * convert_int4(as_char4(b));
  return products.x + products.y + products.z + products.w + sum;
}
#define edgec_dot_signed(a, b, sum) edgec_dot(convert_int4(as_char4(a)), b, sum)
#define edgec_dot_unsigned(a, b, sum) edgec_dot(convert_int4(as_uchar4(a)), b, sum)
#endif
""",
    ),
)
