"""Whether this machine has the graphics processor that an artefact needs."""

from __future__ import annotations

import ctypes
import os
import platform

_EVERY_KIND_OF_DEVICE = 0xFFFFFFFF
_INSTALL = {
    "cuda": "it comes with NVIDIA's driver",
    "opencl": "apt install pocl-opencl-icd ocl-icd-libopencl1 for the one that runs on the processor",
}


def why_no_graphics(api: str, machine: str) -> str | None:
    """Why this machine cannot run an artefact for a graphics processor; None if it can.

    Args:
        api: `cuda` or `opencl`.
        machine: the processor that the artefact's executable is for, as `platform.machine` says it.
    """
    if machine != platform.machine():
        return f"the artefact needs a graphics processor beside an {machine} processor, which nothing here emulates"
    library = _driver(api)
    if library is None:
        return f"this machine has no driver for {_name(api)} ({_INSTALL[api]})"
    devices = _cuda_devices(library) if api == "cuda" else _opencl_devices(library)
    return None if devices else f"the driver for {_name(api)} finds no device on this machine"


def _name(api: str) -> str:
    return {"cuda": "CUDA", "opencl": "OpenCL"}[api]


def _driver(api: str) -> ctypes.CDLL | None:
    """The library that the artefact's launcher will load."""
    names = {"cuda": ("EDGEC_CUDA_LIBRARY", "libcuda.so.1"), "opencl": ("EDGEC_OPENCL_LIBRARY", "libOpenCL.so.1")}
    variable, usual = names[api]
    try:
        return ctypes.CDLL(os.environ.get(variable, usual))
    except OSError:
        return None


def _cuda_devices(driver: ctypes.CDLL) -> int:
    count = ctypes.c_int()
    works = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if works else 0


def _opencl_devices(driver: ctypes.CDLL) -> int:
    platforms = (ctypes.c_void_p * 16)()
    found = ctypes.c_uint32()
    driver.clGetPlatformIDs(len(platforms), platforms, ctypes.byref(found))
    total = 0
    for index in range(min(found.value, len(platforms))):
        devices = ctypes.c_uint32()
        place = ctypes.c_void_p(platforms[index])
        kind = ctypes.c_uint64(_EVERY_KIND_OF_DEVICE)
        if driver.clGetDeviceIDs(place, kind, 0, None, ctypes.byref(devices)) == 0:
            total += devices.value
    return total
