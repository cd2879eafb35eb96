"""The backend of a target; heavy libraries are imported only when their backend is wanted."""

from __future__ import annotations

import importlib.util

from edgec.backends.plan import Backend
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.target import Target


def backend_for(target: Target) -> Backend:
    """The backend that a target names.

    Raises:
        EdgecError: EC0901 if what the backend needs is not installed, with the line that installs it.
    """
    if target.backend == "tvm" and importlib.util.find_spec("tvm") is not None:
        from edgec.backends.tvm.backend import TvmBackend

        return TvmBackend()
    if target.backend == "gpu" and importlib.util.find_spec("tvm") is not None:
        from edgec.backends.gpu.backend import GpuBackend

        return GpuBackend()
    if target.backend == "rtl" and all(importlib.util.find_spec(package) for package in ("da4ml", "pyosys")):
        from edgec.backends.rtl.backend import RtlBackend

        return RtlBackend()
    if target.backend == "hls4ml" and importlib.util.find_spec("hls4ml") is not None:
        from edgec.backends.hls4ml.backend import HlsBackend

        return HlsBackend()
    if target.backend in ("rtl", "hls4ml"):
        what, hint = "the tools for FPGAs and ASICs are not installed", "pip install 'edgec[fpga]'"
    elif target.backend == "gpu":
        what, hint = "the compiler for graphics processors is not installed", "pip install 'edgec[tvm,gpu]'"
    else:
        what, hint = "the compiler for CPUs is not installed", "pip install 'edgec[tvm]'"
    raise EdgecError(TOOL_MISSING, what, where=f"target {target.name}", hint=hint)
