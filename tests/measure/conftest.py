"""A small artefact with a runner that obeys the protocol, for this machine and for an emulated one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgec.core.interface import Interface
from edgec.core.tensor import Sample, TensorSpec
from edgec.core.tool_chain import tool_chain_environment

SOURCE = Path(__file__).with_name("runner.c")
FLAGS = ("-O2", "-g0", "-fPIC", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s", "-static")
"""Those of a built artefact's runner: with others the tool chain would compile the C library once more."""


def _interface(emulator: tuple[str, ...] = ()) -> Interface:
    spec = TensorSpec(name="x", dtype="float32", shape=(1, 64))
    twice = TensorSpec(name="y", dtype="float32", shape=(1, 64))
    return Interface(symbol="tiny", inputs=(spec,), outputs=(twice,), runner="bin/tiny-run", emulator=emulator)


def _build(folder: Path, triple: str) -> Path:
    (folder / "bin").mkdir()
    for name, definitions in (("", ()), ("-twice", ("-DREPEATS=2",)), ("-clock", ("-DREADINGS=1",))):
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", triple, *FLAGS, *definitions]
        command = [*compiler, str(SOURCE), "-o", str(folder / "bin" / f"tiny-run{name}")]
        subprocess.run(command, check=True, env=tool_chain_environment(os.environ, folder / "objects"))
    return folder


@pytest.fixture(scope="session")
def native_artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Interface]:
    return _build(tmp_path_factory.mktemp("native"), f"{platform.machine()}-linux-musl"), _interface()


@pytest.fixture(scope="session")
def emulated_artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Interface]:
    emulator = ("qemu-aarch64", "-cpu", "cortex-a72")
    return _build(tmp_path_factory.mktemp("emulated"), "aarch64-linux-musl"), _interface(emulator)


@pytest.fixture
def sample() -> Sample:
    return {"x": np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)}
