from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgec.measure.graphics import why_no_graphics

HERE = Path(__file__).parent


@pytest.fixture
def opencl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OpenCL driver; gives the folder of compiled kernels, which is empty."""
    reason = why_no_graphics("opencl", os.uname().machine)
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path / "kernels"
    monkeypatch.setenv("EDGEC_GPU_CACHE", str(folder))
    monkeypatch.setenv("POCL_MAX_PTHREAD_COUNT", "1")
    return folder


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("stub") / "libcuda.so.1"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1"]
    subprocess.run([*compiler, "-o", str(library), str(HERE / "stub_cuda.c")], check=True)
    return library


@pytest.fixture
def stub_cuda(stub_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CUDA driver that computes nothing; gives the file that it writes its calls to."""
    log = tmp_path / "calls.txt"
    monkeypatch.setenv("EDGEC_CUDA_LIBRARY", str(stub_library))
    monkeypatch.setenv("EDGEC_NVRTC_LIBRARY", "/nowhere/libnvrtc.so")
    monkeypatch.setenv("STUB_CUDA_LOG", str(log))
    monkeypatch.setenv("EDGEC_GPU_CACHE", str(tmp_path / "kernels"))
    return log
