"""Kernels for graphics processors: what they compute, how they are launched, and how they are scheduled."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from edgec.backends.gpu.device import Device
from edgec.backends.gpu.kernels import GpuKernels, make_launch_plan
from edgec.backends.gpu.schedules import rules
from edgec.backends.gpu.schedules.gpu_schedule import GpuSchedule
from edgec.backends.gpu.schedules.product_tile import choose_product_tile
from edgec.backends.gpu.source_text import as_program
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.gpu.networks import ODD_SHAPES, network
from tests.gpu.on_opencl import run_on_opencl
from tests.models import mobile_net, residual_net


def _kernels(model: onnx.ModelProto, target: str = "jetson-nano") -> GpuKernels:
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    return make_launch_plan(inferred, load_target(target), name="net", progress=Silent())


def test_kernels_of_odd_shapes_equal_onnx_runtime(opencl: Path, tmp_path: Path) -> None:
    model = network(*ODD_SHAPES)
    computed = run_on_opencl(model, tmp_path)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, computed.given)
    for (name, made), contents in zip(computed.made.items(), expected, strict=True):
        np.testing.assert_allclose(made, contents, rtol=2e-5, atol=2e-6, err_msg=name)


def test_convolutions_take_their_followers_in(tmp_path: Path) -> None:
    kernels = _kernels(residual_net())
    convolutions = [launch for launch in kernels.plan.launches if launch.op == "Conv"]
    assert not kernels.fallbacks
    assert len(convolutions) == sum(node.op_type == "Conv" for node in residual_net().graph.node)
    assert not any(launch.op in ("Relu", "Add", "Clip") for launch in kernels.plan.launches)


@pytest.mark.parametrize(("channels", "first"), [(3, "Conv"), (8, "Transpose")])
def test_images_are_read_as_they_come(channels: int, first: str) -> None:
    model = network(f"float[1,{channels},9,9] x", "y = Conv<pads=[1,1,1,1]>(x, w)", {"w": (16, channels, 3, 3)}, ("y",))
    assert _kernels(model).plan.launches[0].op == first


@pytest.mark.parametrize("target", ["jetson-nano", "opencl-generic"])
def test_arguments_lie_in_their_buffers(target: str) -> None:
    plan = _kernels(mobile_net(), target).plan
    sizes = {
        "weights": len(plan.weights),
        "arena": plan.arena_bytes,
        "input": plan.inputs[0].size_bytes,
        "output": plan.outputs[0].size_bytes,
    }
    device = Device.of(load_target(target))
    for launch in plan.launches:
        assert launch.kernel in plan.program.kernels
        assert math.prod(launch.block) <= device.max_threads
        assert min(*launch.grid, *launch.block) >= 1
        for argument in launch.arguments:
            assert 0 <= argument.offset_bytes <= argument.offset_bytes + argument.size_bytes <= sizes[argument.space]


def test_a_plan_is_the_same_each_time_and_names_no_contents() -> None:
    first, second = _kernels(residual_net()).plan, _kernels(residual_net()).plan
    assert (first.to_json(), first.program) == (second.to_json(), second.program)
    assert json.loads(first.to_json())["weights_bytes"] == len(first.weights)


def test_loops_on_a_single_thread_are_told() -> None:
    model = network("float[4,6] x", "y = CumSum(x, axis) z = Identity(y)", {}, ("z",))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "axis"))
    (told,) = _kernels(model).fallbacks
    assert "single thread" in told.reason


def test_a_schedule_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_kernel: GpuSchedule) -> None:
        raise RuntimeError("Traceback\ntoo many threads")

    monkeypatch.setattr(rules, "_template", refused)
    told = _kernels(residual_net()).fallbacks
    assert told
    assert {fallback.reason.partition("refuses the best: ")[2] for fallback in told} == {"too many threads"}


@given(
    rows=st.integers(1, 20_000),
    columns=st.integers(1, 4096),
    depth=st.integers(1, 5000),
    units=st.integers(1, 200),
    kib=st.sampled_from([16, 32, 48]),
    threads=st.sampled_from([128, 256, 1024]),
)
def test_tiles_fit_every_device(rows: int, columns: int, depth: int, units: int, kib: int, threads: int) -> None:
    device = Device(threads, kib * 1024, units)
    tile = choose_product_tile(1, rows, columns, depth, device, 4)
    assert 1 <= math.prod(tile.threads) <= threads
    assert (tile.rows + tile.columns) * tile.depth * 4 <= kib * 1024
    assert tile.depth % tile.unrolled == 0


def test_opencl_buffers_come_with_offsets() -> None:
    text = "__kernel void k(__global float* restrict p0_ptr, __global int* p1_ptr) {\n  p0_ptr[0] = p1_ptr[0];\n}\n"
    source = as_program(text, "opencl", ["k"]).source
    assert "k(__global uchar* restrict p0_ptr_memory, const uint p0_ptr_offset, " in source
    assert "__global int* p1_ptr = (__global int*)(p1_ptr_memory + p1_ptr_offset);" in source


def test_cuda_constants_are_decimals_of_the_same_value() -> None:
    text = '#include <cstdint>\nextern "C" __global__ void k(float* x) { x[0] = 0x1.5d867ep-27f/*1.0e-8*/; }'
    source = as_program(text, "cuda", ["k"]).source
    written = source.split("x[0] = ")[1].split("f;")[0]
    assert np.float32(written) == np.float32(float.fromhex("0x1.5d867ep-27"))
    assert "#include" not in source
