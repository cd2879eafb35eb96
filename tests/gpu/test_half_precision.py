"""fp16 on graphics processors: stored in half the bytes, computed in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from edgec.backends.gpu.kernels import make_launch_plan
from edgec.backends.gpu.nvrtc import compile_cuda
from edgec.build import BuildOptions, build
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.report.schema import Verified
from tests.gpu.networks import ODD_SHAPES, network
from tests.gpu.on_opencl import run_on_opencl
from tests.models import mobile_net, residual_net

_OF_ONE_KERNEL = ("positive", "stack", "flat", "share", "normal", "across", "most")
_SPACING = 2.0**-10


def _in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with the same numbers in fp32."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for tensor in single.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*single.graph.input, *single.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del single.graph.value_info[:]
    return single


def test_kernels_round_what_they_store_and_nothing_else(opencl: Path, tmp_path: Path) -> None:
    model = network(*ODD_SHAPES, dtype="float16")
    computed = run_on_opencl(model, tmp_path)
    single = {name: contents.astype(np.float32) for name, contents in computed.given.items()}
    expected = onnxruntime.InferenceSession(_in_float(model).SerializeToString()).run(None, single)
    for (name, made), contents in zip(computed.made.items(), expected, strict=True):
        if name in _OF_ONE_KERNEL:  # rounded once, by half a spacing
            allowed = np.abs(contents) * 0.51 * _SPACING + 1e-5
        else:  # rounded between kernels as well, whose sums may cancel
            allowed = np.full(contents.shape, _SPACING * np.max(np.abs(contents)))
        assert np.all(np.abs(made - contents) <= allowed), name


@pytest.mark.parametrize("target", ["jetson-nano", "jetson-orin-nano"])
def test_cuda_needs_no_header_for_it(target: str) -> None:
    datasheet = load_target(target)
    assert datasheet.gpu is not None
    model = ir.from_proto(network(*ODD_SHAPES, dtype="float16"))
    source = make_launch_plan(model, datasheet, name="net", progress=Silent()).plan.program.source
    assert "#include" not in source
    if (code := compile_cuda(source, datasheet.gpu.architecture)) is None:
        pytest.skip("NVRTC is not installed (pip install 'edgec[gpu]')")
    assert code.startswith(b"\x7fELF")


@pytest.mark.parametrize("net", [residual_net, mobile_net], ids=["residual", "mobile"])
def test_the_recipe_halves_weights_and_activations(
    net: Callable[[], onnx.ModelProto], opencl: Path, tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(net().SerializeToString())
    bytes_of = {}
    for recipe in ("exact", "float16"):
        folder = tmp_path / recipe
        report = build(BuildOptions(model=path, target="opencl-generic", recipe=recipe, out=folder), Silent()).report
        assert isinstance(report.verification, Verified)
        assert report.verification.max_relative_error <= (1e-4 if recipe == "exact" else 5e-3)
        plan = json.loads((folder / "launch_plan.json").read_text(encoding="utf-8"))
        bytes_of[recipe] = plan["weights_bytes"], plan["arena_bytes"]
    for single, half in zip(bytes_of["exact"], bytes_of["float16"], strict=True):
        assert half < 0.75 * single
