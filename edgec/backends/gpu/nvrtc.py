"""CUDA C to machine code by NVRTC, NVIDIA's compiler as a library; no graphics processor is needed.

NVRTC 12.9 is the last that compiles for the Maxwell generation (`sm_53`, Jetson Nano).
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

from edgec.core.codes.backend import CODE_GENERATION_FAILED
from edgec.core.errors import EdgecError

INSTALL_NVRTC = "pip install 'edgec[gpu]'"
MACHINE_CODE = "src/kernels.cubin"
"""Where an artefact keeps it."""
_LIBRARY = ("nvidia.cuda_nvrtc", "lib/libnvrtc.so.12")
_LAST_LINES = 20


def compile_cuda(source: str, architecture: str) -> bytes | None:
    """Machine code (a cubin) of CUDA C; None if NVRTC is not installed.

    Args:
        source: CUDA C that includes nothing.
        architecture: `sm_53`.

    Raises:
        EdgecError: EC0402 with the compiler's words if it refuses the source.
    """
    path = _installed(*_LIBRARY)
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    unit = ctypes.c_void_p()
    options = (f"--gpu-architecture={architecture}".encode(), b"-w")
    library.nvrtcCreateProgram(ctypes.byref(unit), source.encode(), b"kernels.cu", 0, None, None)
    status = library.nvrtcCompileProgram(unit, len(options), (ctypes.c_char_p * len(options))(*options))
    try:
        if status != 0:
            raise _refused(architecture, _product(library, "ProgramLog", unit))
        return _product(library, "CUBIN", unit)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(unit))


def _installed(package: str, path: str) -> Path | None:
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    folders = found.submodule_search_locations if found is not None else None
    place = Path(next(iter(folders))) / path if folders else None
    return place if place is not None and place.exists() else None


def _product(library: ctypes.CDLL, what: str, unit: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(unit, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(unit, content)
    return content.raw


def _refused(architecture: str, log: bytes) -> EdgecError:
    lines = log.rstrip(b"\0").decode(errors="replace").splitlines()
    return EdgecError(
        CODE_GENERATION_FAILED,
        f"NVRTC refuses the kernels for {architecture}",
        hint=CODE_GENERATION_FAILED.remedy,
        details=tuple(lines[:_LAST_LINES]),
    )
