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

from edgec.backends.executor import execute
from edgec.backends.gpu.backend import GpuBackend
from edgec.backends.gpu.device import Device
from edgec.backends.gpu.kernels import GpuKernels, make_launch_plan, unsupported
from edgec.backends.gpu.schedules.product_tile import choose_product_tile
from edgec.backends.gpu.source_text import as_program
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.backends.artifacts import run
from tests.models import if_net, mobile_net, residual_net

RNG = np.random.default_rng(7)

# Every kind of template, at shapes that fill neither vectors nor tiles; the results are in separate outputs.
ODD_SHAPES = (
    "float[1,5,13,11] image, float[3,10,24] left, float[3,24,31] right, float[1,96] row, float[2,7,37] rows",
    """dilated = Conv<pads=[2,1,0,1], dilations=[2,1]>(image, w_dilated)
    gate = Sigmoid(dilated)
    swish = Mul(dilated, gate)
    grouped = Conv<group=5, pads=[1,1,1,1], strides=[2,1]>(image, w_depthwise, b_depthwise)
    deep = Conv(grouped, w_deep)
    pairs = Conv<group=2, pads=[0,1,1,0]>(deep, w_pairs)
    joined = Concat<axis=1>(deep, pairs)
    pooled = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(joined)
    last = Conv(joined, w_joined)
    sum = Add(last, joined)
    average = GlobalAveragePool(sum)
    squeezed = Conv(average, w_squeezed)
    opened = Conv(squeezed, w_opened, b_opened)
    weight = HardSigmoid(opened)
    narrow = MatMul(left, w_narrow)
    positive = Relu(narrow)
    stack = MatMul(left, right)
    flat = Gemm<transB=1>(row, w_row, b_row)
    share = Softmax<axis=-1>(rows)
    normal = LayerNormalization<axis=-1>(rows, scale, shift)
    across = Softmax<axis=1>(rows)
    place = ArgMax<axis=1, keepdims=0>(rows)
    most = ReduceMax<axes=[2], keepdims=0>(rows)""",
    {
        "w_dilated": (19, 5, 3, 3),
        "w_depthwise": (5, 1, 3, 3),
        "b_depthwise": (5,),
        "w_deep": (6, 5, 1, 1),
        "w_pairs": (8, 3, 2, 2),
        "w_joined": (14, 14, 1, 1),
        "w_squeezed": (2, 14, 1, 1),
        "w_opened": (14, 2, 1, 1),
        "b_opened": (14,),
        "w_narrow": (24, 1),
        "w_row": (50, 96),
        "b_row": (50,),
        "scale": (37,),
        "shift": (37,),
    },
    ("swish", "pooled", "average", "weight", "positive", "stack", "flat", "share", "normal", "across", "place", "most"),
)


def _network(inputs: str, nodes: str, weights: dict[str, tuple[int, ...]], outputs: tuple[str, ...]) -> onnx.ModelProto:
    untyped = f'<ir_version: 8, opset_import: ["": 17]> net ({inputs}) => () {{ {nodes} }}'
    model = onnx.parser.parse_model(untyped)
    for name, shape in weights.items():
        contents = (RNG.standard_normal(shape) * 0.3).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(contents, name))
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value for value in inferred.graph.value_info}
    inferred.graph.output.extend(known[name] for name in outputs)
    return inferred


def _kernels(model: onnx.ModelProto, target: str = "jetson-nano") -> GpuKernels:
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    return make_launch_plan(inferred, load_target(target), name="net", progress=Silent())


def test_kernels_of_odd_shapes_equal_onnx_runtime(opencl: Path, tmp_path: Path) -> None:
    model = _network(*ODD_SHAPES)
    plan = GpuBackend().plan(
        ir.from_proto(model), load_target("opencl-generic"), name="net", threads=1, progress=Silent()
    )
    execute(plan, tmp_path, Silent())
    assert not plan.fallbacks
    feeds = {spec.name: RNG.standard_normal(spec.shape).astype(spec.dtype) for spec in plan.interface.inputs}
    made, _ = run(plan, tmp_path, feeds)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    for spec, contents in zip(plan.interface.outputs, expected, strict=True):
        np.testing.assert_allclose(made[spec.name], contents, rtol=2e-5, atol=2e-6, err_msg=spec.name)


def test_convolutions_take_their_followers_in(tmp_path: Path) -> None:
    kernels = _kernels(residual_net())
    convolutions = [launch for launch in kernels.plan.launches if launch.op == "Conv"]
    assert not kernels.fallbacks
    assert len(convolutions) == sum(node.op_type == "Conv" for node in residual_net().graph.node)
    assert not any(launch.op in ("Relu", "Add", "Clip") for launch in kernels.plan.launches)


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


def test_control_flow_is_refused_with_a_reason() -> None:
    model = ir.from_proto(onnx.shape_inference.infer_shapes(if_net()))
    (refused,) = unsupported(model, load_target("opencl-generic"))
    assert "If" in refused.reason
    with pytest.raises(EdgecError) as raised:
        make_launch_plan(model, load_target("opencl-generic"), name="net", progress=Silent())
    assert raised.value.code.code == "EC0401"


def test_half_precision_is_refused_with_a_reason() -> None:
    model = _network("float16[4,6] x", "y = Relu(x) z = Identity(y)", {}, ("z",))
    (first, *_) = unsupported(ir.from_proto(model), load_target("opencl-generic"))
    assert "float16" in first.reason


def test_loops_on_a_single_thread_are_told() -> None:
    model = _network("float[4,6] x", "y = CumSum(x, axis) z = Identity(y)", {}, ("z",))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "axis"))
    (told,) = _kernels(model).fallbacks
    assert "single thread" in told.reason


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
