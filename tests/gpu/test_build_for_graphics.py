"""The verb `build` for graphics processors: small networks, verified on an OpenCL driver or compiled by NVRTC."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgec.build import BuildOptions, build
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.progress import Silent
from edgec.report.schema import Report, Unverified, Verified
from edgec.verify import verify
from tests.models import attention_net, conv_net, mobile_net, quantized_net, residual_net, two_outputs_net
from tests.models.builder import GraphBuilder


def one_channel_net() -> onnx.ModelProto:
    """A convolution with one channel of results and an activation; packed weights are filled up to more channels."""
    g = GraphBuilder("one_channel_net", 17)
    x = g.node("Conv", g.input("x", (1, 8, 240)), g.weight(1, 8, 7), g.weight(1), kernel_shape=[7], pads=[3, 3])
    g.node("Tanh", x, output="y")
    g.output("y", (1, 1, 240))
    return g.model()


NETWORKS = [one_channel_net, conv_net, residual_net, mobile_net, two_outputs_net, attention_net, quantized_net]


def _build(model: onnx.ModelProto, target: str, folder: Path) -> tuple[Path, Report]:
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    options = BuildOptions(
        model=path,
        target=target,
        out=folder / "artifact",
    )
    return folder / "artifact", build(options, Silent()).report


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_opencl_equals_the_model(network: Callable[[], onnx.ModelProto], opencl: Path, tmp_path: Path) -> None:
    folder, report = _build(network(), "opencl-generic", tmp_path)
    assert isinstance(report.verification, Verified)
    assert report.verification.where == "opencl"
    assert report.verification.max_relative_error <= 1e-4
    latency = report.metrics.latency_ms
    assert isinstance(latency, Value)
    assert latency.mode == Mode.MEASURED
    assert isinstance(report.metrics.instructions, Unavailable)
    assert (folder / "launch_plan.json").is_file()


def test_a_built_artefact_is_verified_again(opencl: Path, tmp_path: Path) -> None:
    folder, _ = _build(conv_net(), "opencl-generic", tmp_path)
    assert verify(folder, samples=2, seed=5, progress=Silent()).passed


def test_without_an_opencl_driver_the_artefact_is_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_OPENCL_LIBRARY", "/nowhere/libOpenCL.so.1")
    _, report = _build(conv_net(), "opencl-generic", tmp_path)
    assert isinstance(report.verification, Unverified)
    assert "no driver for OpenCL" in report.verification.reason
    latency = report.metrics.latency_ms
    assert isinstance(latency, Value)
    assert latency.mode == Mode.PREDICTED


@pytest.mark.parametrize("target", ["jetson-nano", "jetson-orin-nano"])
def test_cuda_is_compiled_for_the_architecture(target: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("nvidia") is None:
        pytest.skip("NVRTC is not installed (pip install 'edgec[gpu]')")
    folder, report = _build(mobile_net(), target, tmp_path)
    plan = json.loads((folder / "launch_plan.json").read_text(encoding="utf-8"))
    code = (folder / "src" / "kernels.cubin").read_bytes()
    assert code.startswith(b"\x7fELF")
    assert all(kernel.encode() in code for kernel in plan["kernels"])
    assert isinstance(report.verification, Unverified)
    assert "nothing here emulates" in report.verification.reason
    assert not any("compiled on the board" in note for note in report.assumptions)
    size = report.metrics.artifact_bytes
    assert isinstance(size, Value)
    assert size.value <= plan["weights_bytes"] + 2**20


def test_without_nvrtc_the_source_is_shipped_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.backends.gpu.nvrtc._installed", lambda package, path: None)
    folder, report = _build(conv_net(), "jetson-nano", tmp_path)
    assert not (folder / "src" / "kernels.cubin").exists()
    assert (folder / "src" / "kernels.cu").is_file()
    assert any("compiled on the board" in note for note in report.assumptions)


@pytest.mark.parametrize("target", ["android-mali", "android-adreno"])
def test_a_telephone_gets_a_static_library(target: str, tmp_path: Path) -> None:
    folder, report = _build(conv_net(), target, tmp_path)
    assert (folder / "android" / "CMakeLists.txt").is_file()
    assert isinstance(report.verification, Unverified)
    latency = report.metrics.latency_ms
    assert isinstance(latency, Value)
    assert latency.high > 3 * latency.value
