"""TVM's source text, made fit for other compilers than the one it was written for.

CUDA: TVM's preamble wants headers that NVRTC and old versions of nvcc do not have, and hexadecimal floats are C++17.
OpenCL: a buffer comes with an offset, as sub-buffers would have to begin at multiples that differ between devices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgec.backends.gpu.device_functions import definitions
from edgec.backends.gpu.launch_plan import GpuProgram, Language

_HEXADECIMAL = re.compile(r"(-?0x[0-9a-fA-F.]+p[+-]?\d+)(f?)/\*[^*]*\*/")
_SIGNATURE = re.compile(r"^__kernel void (\w+)\((.*)\) \{$", re.MULTILINE)
_PROTOTYPE = re.compile(r"^__kernel void \w+\(.*\);\n", re.MULTILINE)
_POINTER = re.compile(r"^__global (.+?)\* (restrict )?(\w+)$")

_CUDA_TYPES = """\
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define CUDART_INF_F __int_as_float(0x7f800000)
#define CUDART_INF __longlong_as_double(0x7ff0000000000000LL)
"""


def as_program(text: str, language: Language, kernels: Sequence[str]) -> GpuProgram:
    """The program of TVM's text."""
    source = _cuda(text) if language == "cuda" else _opencl(text)
    return GpuProgram(language, source, tuple(kernels))


def _cuda(text: str) -> str:
    start = text.find('extern "C" __global__')
    body = text[start:]
    return _CUDA_TYPES + definitions(body, "cuda") + _HEXADECIMAL.sub(_decimal, body)


def _decimal(found: re.Match[str]) -> str:
    """The shortest decimal that is read as the same number."""
    return f"{float.fromhex(found[1])!r}{found[2]}"


def _opencl(text: str) -> str:
    # TVM declares every kernel again before each: the text would grow by the square of their number.
    body = _SIGNATURE.sub(_with_offsets, _PROTOTYPE.sub("", text))
    return definitions(body, "opencl") + body


def _with_offsets(found: re.Match[str]) -> str:
    parameters, declarations = [], []
    for parameter in found[2].split(", "):
        pointer = _POINTER.match(parameter)
        if pointer is None:
            parameters.append(parameter)
            continue
        kind, restrict, name = pointer[1], pointer[2] or "", pointer[3]
        parameters += [f"__global uchar* {restrict}{name}_memory", f"const uint {name}_offset"]
        declarations.append(f"  __global {kind}* {restrict}{name} = (__global {kind}*)({name}_memory + {name}_offset);")
    return "\n".join([f"__kernel void {found[1]}({', '.join(parameters)}) {{", *declarations])
