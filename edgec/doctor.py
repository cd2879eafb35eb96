"""The verb `doctor`: what is installed, and what each missing thing would enable."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """One library or program.

    Attributes:
        name: distribution, or program on PATH.
        version: None if it is missing, `unknown` if it does not say.
        enables: what edgec does with it.
        install: what to type to get it.
        required: nothing works without it.
    """

    name: str
    version: str | None
    enables: str
    install: str
    required: bool

    def as_data(self) -> dict[str, object]:
        """The finding as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Wanted:
    name: str
    enables: str
    install: str
    required: bool = False


_REQUIRED = "pip install edgec"
_TVM = "pip install 'edgec[tvm]'"
_QEMU = "apt install qemu-user"

_LIBRARIES = (
    _Wanted("numpy", "tensors", _REQUIRED, required=True),
    _Wanted("onnx", "shape inference", _REQUIRED, required=True),
    _Wanted("onnx-ir", "reading and rewriting models", _REQUIRED, required=True),
    _Wanted("onnxscript", "exact passes", _REQUIRED, required=True),
    _Wanted("onnxruntime", "the reference that every build is verified against", _REQUIRED, required=True),
    _Wanted("pydantic", "reports, targets and options", _REQUIRED, required=True),
    _Wanted("apache-tvm", "code for CPUs", _TVM),
    _Wanted("apache-tvm-ffi", "code for CPUs", _TVM),
    _Wanted("ziglang", "linking for every target without its SDK", _TVM),
    _Wanted("pillow", "folders of images as --data", "pip install 'edgec[images]'"),
)
_PROGRAMS = (
    _Wanted("qemu-aarch64", "verifying 64-bit Arm builds on this machine", _QEMU),
    _Wanted("qemu-arm", "verifying 32-bit Arm and Cortex-M builds on this machine", _QEMU),
    _Wanted("qemu-riscv64", "verifying RISC-V builds on this machine", _QEMU),
)


def examine() -> tuple[Finding, ...]:
    """Every library and program that edgec uses, in order of importance; imports none of them."""
    python = Finding("python", platform.python_version(), "running edgec", "", required=True)
    libraries = (_finding(wanted, _library_version(wanted.name)) for wanted in _LIBRARIES)
    programs = (_finding(wanted, _program_version(wanted.name)) for wanted in _PROGRAMS)
    return (python, *libraries, *programs)


def _finding(wanted: _Wanted, version: str | None) -> Finding:
    return Finding(wanted.name, version, wanted.enables, wanted.install, wanted.required)


def _library_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _program_version(name: str) -> str | None:
    path = shutil.which(name)
    if path is None:
        return None
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = re.search(r"\d+(\.\d+)+", answer.stdout)
    return found.group() if found else "unknown"
