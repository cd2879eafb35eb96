"""A network of two kernels, written by hand: y = (2 x + b) w, and z = x."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.backends.gpu.kernels import GpuKernels, HostProgram
from edgec.backends.gpu.launch_plan import (
    Argument,
    BufferCopy,
    BufferSpace,
    GpuProgram,
    HostCall,
    Language,
    Launch,
    LaunchPlan,
)
from edgec.backends.plan import MemoryUse, PlannedLayer
from edgec.core.tensor import TensorSpec

ROWS, DEPTH, COLUMNS = 4, 8, 16

_CUDA = """
extern "C" __global__ void scale_and_add(const float *x, const float *b, float *y)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = 2.0f * x[i] + b[i];
}

extern "C" __global__ void multiply(const float *x, const float *w, float *y)
{
    const int row = blockIdx.y, column = threadIdx.x;
    float sum = 0.0f;
    for (int k = 0; k < 8; ++k) {
        sum += x[row * 8 + k] * w[k * 16 + column];
    }
    y[row * 16 + column] = sum;
}
"""

_OPENCL = """
#define AT(type, buffer, offset) ((__global type *)((__global char *)buffer + offset))

__kernel void scale_and_add(__global float *x, uint ox, __global float *b, uint ob, __global float *y, uint oy)
{
    const int i = get_global_id(0);
    AT(float, y, oy)[i] = 2.0f * AT(float, x, ox)[i] + AT(float, b, ob)[i];
}

__kernel void multiply(__global float *x, uint ox, __global float *w, uint ow, __global float *y, uint oy)
{
    const int row = get_group_id(1), column = get_local_id(0);
    float sum = 0.0f;
    for (int k = 0; k < 8; ++k) {
        sum += AT(float, x, ox)[row * 8 + k] * AT(float, w, ow)[k * 16 + column];
    }
    AT(float, y, oy)[row * 16 + column] = sum;
}
"""


def biases() -> np.ndarray:
    return np.arange(ROWS * DEPTH, dtype=np.float32).reshape(ROWS, DEPTH) / 7


def weights() -> np.ndarray:
    return np.cos(np.arange(DEPTH * COLUMNS, dtype=np.float32)).reshape(DEPTH, COLUMNS)


def expected(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": (2 * x + biases()) @ weights(), "z": x}


def hand_made(language: Language, block: int = 8) -> GpuKernels:
    """The network; `block` threads of the first kernel form a group."""
    small, large = ROWS * DEPTH * 4, DEPTH * COLUMNS * 4
    x = Argument(BufferSpace.INPUT, 0, 0, small)
    b, w = Argument(BufferSpace.WEIGHTS, 0, 0, small), Argument(BufferSpace.WEIGHTS, 0, 128, large)
    between = Argument(BufferSpace.ARENA, 0, 64, small)
    y = Argument(BufferSpace.OUTPUT, 0, 0, ROWS * COLUMNS * 4)
    z = Argument(BufferSpace.OUTPUT, 1, 0, small)
    plan = LaunchPlan(
        symbol="hand_made",
        inputs=(TensorSpec(name="x", dtype="float32", shape=(ROWS, DEPTH)),),
        outputs=(
            TensorSpec(name="y", dtype="float32", shape=(ROWS, COLUMNS)),
            TensorSpec(name="z", dtype="float32", shape=(ROWS, DEPTH)),
        ),
        arena_bytes=64 + small,
        weights=biases().tobytes() + weights().tobytes(),
        program=GpuProgram(language, _CUDA if language == "cuda" else _OPENCL, ("scale_and_add", "multiply")),
        launches=(
            Launch("scale_and_add", "first", "Add", 0, (x, b, between), (ROWS * DEPTH // block, 1, 1), (block, 1, 1)),
            Launch("multiply", "second", "MatMul", 1, (between, w, y), (1, ROWS, 1), (COLUMNS, 1, 1)),
        ),
        copies=(BufferCopy(x, z),),
    )
    layers = (
        PlannedLayer(name="first", op="Add", nodes=("first",), macs=0, bytes=3 * small),
        PlannedLayer(
            name="second", op="MatMul", nodes=("second",), macs=ROWS * DEPTH * COLUMNS, bytes=2 * small + large
        ),
    )
    return GpuKernels(
        plan, layers, (), MemoryUse(weights_bytes=len(plan.weights), activations_bytes=192, scratch_bytes=0)
    )


_DOUBLES = """
static int hand_made_part_0(void *workspace, const void *const inputs[], void *const outputs[], edgec_step_hook hook,
                            void *context)
{
    float *const between = (float *)(edgec_align(workspace) + 64);
    (void)inputs, (void)outputs, (void)hook, (void)context;
    for (int i = 0; i < 32; ++i) {
        between[i] *= 2.0f;
    }
    return EDGEC_OK;
}
"""


def doubled_between(language: Language) -> GpuKernels:
    """The network, but the processor doubles what is between its kernels: y = 2 (2 x + b) w."""
    made = hand_made(language)
    between = made.plan.launches[1].arguments[0]
    call = HostCall("hand_made_part_0", ("between",), before=1, reads=(between,), writes=(between,))
    return replace(made, plan=replace(made.plan, host_calls=(call,)), host=HostProgram(_DOUBLES, b""))
