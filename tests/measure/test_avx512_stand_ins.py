"""Programs with AVX-512 in an emulator without it: what is replaced, by what, and when no count is given."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgec.core.interface import Interface
from edgec.core.metric import Unavailable
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.core.tool_chain import tool_chain_environment
from edgec.measure.avx512_stand_ins import with_stand_ins
from edgec.measure.emulated_counts import EmulatedCounts, count_inference
from tests.measure.conftest import FLAGS, SOURCE, _interface

WIDE = ("-mcpu=x86_64_v4", "-mprefer-vector-width=512")
WIDE_KERNELS = '-Dnoinline=noinline,target("avx512f")'
"""Of the runner, whose kernels alone are not to be inlined."""
KERNELS = r"""
#include <immintrin.h>
/* Short and long displacements, with and without an index, of vectors and of parts of vectors. */
void kernel(float *a, const float *b, const unsigned char *c, double *d, long n) {
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < n; i += 16) {
        __m512 y = _mm512_loadu_ps(b + i + 4096);
        __m512 x = _mm512_fmadd_ps(_mm512_loadu_ps(b + i + 16), _mm512_set1_ps(b[i + 3]), y);
        x = _mm512_add_ps(x, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(c + i + 16)))));
        x = _mm512_add_ps(x, _mm512_broadcast_f32x4(_mm_loadu_ps(b + i + 20)));
        _mm512_mask_storeu_ps(a + i, _mm512_cmp_ps_mask(x, sum, _CMP_LT_OQ), x);
        _mm512_storeu_pd(d + i + 8, _mm512_cvtps_pd(_mm256_loadu_ps(b + i + 8)));
        _mm_storeu_si128((__m128i *)(a + i + 32), _mm512_cvtepi32_epi8(_mm512_castps_si512(x)));
        sum = _mm512_max_ps(sum, x);
    }
    _mm512_storeu_ps(a, sum);
}
"""
DECIDING = r"""
#include <immintrin.h>
int positive(const float *a) {
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(a), _mm512_setzero_ps(), _CMP_GT_OQ) == 0xFFFF ? 3 : *(const int *)a;
}
"""


def library(folder: Path, source: str, *options: str) -> bytes:
    """Compiled without the C library, whose headers one of the intrinsics' would want."""
    (folder / "code.c").write_text(source)
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-shared", "-nostdlib", "-O2"]
    command = [*compiler, "-fPIC", "-g0", "-D__MM_MALLOC_H", *options, "code.c", "-o", "code.so"]
    subprocess.run(command, check=True, cwd=folder, env=tool_chain_environment(os.environ, folder / "objects"))
    return (folder / "code.so").read_bytes()


def disassembled(folder: Path, program: bytes) -> dict[str, str]:
    (folder / "shown.so").write_bytes(program)
    command = ["objdump", "-d", "--no-show-raw-insn", str(folder / "shown.so")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s+([0-9a-f]+):\t(.*?)(?:\s+#.*)?$", printed, re.MULTILINE))


def address(text: str) -> str | None:
    found = re.search(r"(?:-?0x[0-9a-f]+)?\(%[^)]*\)", text)
    return found.group() if found else None


@pytest.mark.skipif(shutil.which("objdump") is None, reason="binutils is not installed")
def test_addresses_and_lengths_stay(tmp_path: Path) -> None:
    program = library(tmp_path, KERNELS, *WIDE)
    changed = with_stand_ins(program)
    assert isinstance(changed, bytes)
    before, after = disassembled(tmp_path, program), disassembled(tmp_path, changed)
    assert list(before) == list(after)
    replaced = [place for place in before if before[place] != after[place]]
    assert len(replaced) > 10
    assert not any("zmm" in text or "%k" in text for text in after.values())
    for place in replaced:
        if address(before[place]):
            assert "fcoms" in after[place]
            assert address(after[place]) == address(before[place]), before[place]
        else:
            assert "nop" in after[place]
    parts = {text.split()[0] for text in (before[place] for place in replaced) if address(text)}
    assert {"vpmovzxbd", "vcvtps2pd", "vpmovdb"} <= parts


def test_what_masks_decide_is_not_counted(tmp_path: Path) -> None:
    found = with_stand_ins(library(tmp_path, DECIDING, *WIDE))
    assert isinstance(found, Unavailable)
    assert "depends on data" in found.unavailable


def test_a_program_that_the_emulator_knows_stays_as_it_is(tmp_path: Path) -> None:
    source = "int positive(const float *a) { return a[0] > a[1] ? 3 : *(const int *)a; }"
    program = library(tmp_path, source, "-mcpu=x86_64_v3")
    assert with_stand_ins(program) == program


@pytest.mark.emulator
@pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("qemu-x86_64") is None, reason="needs qemu-user on an x86 machine"
)
def test_a_program_with_avx512_is_counted_the_same_each_time(tmp_path: Path, sample: Sample) -> None:
    counts = [
        counted(tmp_path / name, options, sample) for name, options in (("wide", (WIDE_KERNELS,)), ("narrow", ()))
    ]
    again = count_inference(tmp_path / "wide", _interface(), sample, load_target("host").core)
    assert again == counts[0]
    assert "AVX-512" in counts[0].source
    assert "AVX-512" not in counts[1].source
    # A vector of 512 bits holds four times the elements of one of 128.
    assert counts[0].total.instructions < counts[1].total.instructions
    assert 0 < counts[0].total.memory_accesses < counts[1].total.memory_accesses


def counted(folder: Path, options: tuple[str, ...], sample: Sample) -> EmulatedCounts:
    (folder / "bin").mkdir(parents=True)
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl"]
    compiled = [*compiler, "-O2", "-g0", "-fno-builtin", "-Dvolatile=", *options, "-c", str(SOURCE), "-o", "runner.o"]
    for command in (compiled, [*compiler, *FLAGS, "runner.o", "-o", "bin/tiny-run"]):
        subprocess.run(command, check=True, cwd=folder, env=tool_chain_environment(os.environ, folder / "objects"))
    interface: Interface = _interface()
    found = count_inference(folder, interface, sample, load_target("host").core)
    assert isinstance(found, EmulatedCounts), found
    return found
