"""The device's entropy coder, compiled for this machine and for an emulated one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgec.hw.entropy
from edgec.core.tool_chain import tool_chain_environment

Program = tuple[str, ...]
"""A command line."""

_SOURCES = Path(edgec.hw.entropy.__file__).parent


def _compiled(folder: Path, triple: str) -> str:
    program = folder / f"entropy-{triple}"
    sources = [str(Path(__file__).with_name("entropy_cases.c")), str(_SOURCES / "edgec_entropy.c")]
    flags = ("-O2", "-g0", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-I", str(_SOURCES))
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", triple, *flags, *sources, "-o", str(program)],
        check=True,
        env=tool_chain_environment(os.environ, folder / "objects"),
    )
    return str(program)


@pytest.fixture(scope="session", params=["native", "aarch64"])
def device_coder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """The program `entropy_cases.c` as a function from its input to its output."""
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("entropy")
    if request.param == "native":
        program: Program = (_compiled(folder, f"{platform.machine()}-linux-musl"),)
    else:
        if shutil.which("qemu-aarch64") is None:
            pytest.skip("qemu-aarch64 is not on PATH")
        program = ("qemu-aarch64", _compiled(folder, "aarch64-linux-musl"))

    def run(cases: bytes) -> bytes:
        return subprocess.run(program, input=cases, stdout=subprocess.PIPE, check=True).stdout

    return run
