"""Quantized networks on graphics processors: in integers, bit for bit as on a processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.backends.executor import execute
from edgec.backends.gpu.backend import GpuBackend
from edgec.backends.gpu.kernels import make_launch_plan
from edgec.backends.gpu.nvrtc import compile_cuda
from edgec.backends.plan import Backend
from edgec.backends.tvm.backend import TvmBackend
from edgec.core.progress import Silent
from edgec.core.target import Target
from edgec.core.target_files import load_target
from tests.backends.artifacts import run
from tests.models.builder import GraphBuilder

SIDE = 13


def _quantized_network(dtype: str) -> onnx.ModelProto:
    """Every operator on integers, at channels that are no multiple of a word or a tile, in QDQ form."""
    g = GraphBuilder("quantized", 17)
    zero = 128 if dtype == "uint8" else -7

    def quantized(x: str, scale: float, output: str | None = None) -> str:
        parameters = g.constant(scale), g.constant(zero, dtype)
        return g.node("DequantizeLinear", g.node("QuantizeLinear", x, *parameters), *parameters, output=output)

    def weights(*shape: int) -> str:
        scales, zeros = np.linspace(0.002, 0.01, shape[0]), np.zeros(shape[0], np.int8)
        return g.node("DequantizeLinear", g.random_int8(*shape), g.constant(scales), g.constant(zeros, np.int8), axis=0)

    def convolution(x: str, outputs: int, inputs: int, size: int, **attributes: object) -> str:
        pads = [size // 2] * 4
        kernel = weights(outputs, inputs, size, size)
        return g.node("Conv", x, kernel, g.weight(outputs, scale=0.1), pads=pads, **attributes)

    x = quantized(g.input("image", (1, 3, SIDE, SIDE)), 0.03)
    first = quantized(g.node("Relu", convolution(x, 18, 3, 3, strides=[2, 2])), 0.02)
    second = quantized(convolution(first, 18, 18, 3), 0.05)
    total = quantized(g.node("Add", first, second), 0.05, "total")
    depthwise = quantized(convolution(total, 18, 1, 3, group=18), 0.05)
    joined = quantized(g.node("Concat", total, depthwise, axis=1), 0.05)
    pooled = quantized(g.node("MaxPool", joined, kernel_shape=[2, 2], strides=[2, 2]), 0.05, "pooled")
    grouped = quantized(convolution(pooled, 12, 18, 3, group=2), 0.1, "grouped")
    averages = quantized(g.node("AveragePool", grouped, kernel_shape=[3, 3]), 0.1, "averages")
    last = quantized(g.node("GlobalAveragePool", averages), 0.05)
    flat = quantized(g.node("Flatten", last), 0.05)
    classes = g.node("Gemm", flat, weights(7, 12), g.weight(7, scale=0.1), transB=1)
    quantized(classes, 0.03, "classes")
    g.output("total", (1, 18, 7, 7))
    g.output("pooled", (1, 36, 3, 3))
    g.output("grouped", (1, 12, 3, 3))
    g.output("averages", (1, 12, 1, 1))
    g.output("classes", (1, 7))
    return g.model()


def _with_dot_product(folder: Path) -> Target:
    """A device whose kernels multiply words of four bytes; the OpenCL driver need not have an instruction for it."""
    import edgec.targets

    text = (Path(next(iter(edgec.targets.__path__))) / "opencl-generic.toml").read_text(encoding="utf-8")
    path = folder / "words.toml"
    path.write_text(text.replace("launch_us", 'dot_product = "dp4a"\nlaunch_us'), encoding="utf-8")
    return load_target(str(path))


def _outputs(backend: Backend, target: Target, model: onnx.ModelProto, folder: Path) -> dict[str, np.ndarray]:
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    plan = backend.plan(inferred, target, name="net", threads=1, progress=Silent())
    folder.mkdir()
    execute(plan, folder, Silent())
    image = np.random.default_rng(3).normal(0, 1.5, (1, 3, SIDE, SIDE)).astype(np.float32)
    assert not plan.fallbacks
    return run(plan, folder, {"image": image})[0]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_every_integer_equals_that_of_a_processor(dtype: str, opencl: Path, tmp_path: Path) -> None:
    model = _quantized_network(dtype)
    expected = _outputs(TvmBackend(), load_target("host"), model, tmp_path / "processor")
    for target, words in ((load_target("opencl-generic"), False), (_with_dot_product(tmp_path), True)):
        folder = tmp_path / f"words-{words}"
        made = _outputs(GpuBackend(), target, model, folder)
        assert ("edgec_dot" in (folder / "src" / "kernels.cl").read_text(encoding="utf-8")) == words
        for name, contents in expected.items():
            assert np.ptp(contents) > 0
            np.testing.assert_array_equal(made[name], contents, err_msg=f"{name}, words: {words}")


@pytest.mark.parametrize(("name", "multiplies_words"), [("jetson-nano", False), ("jetson-orin-nano", True)])
def test_cuda_multiplies_words_where_it_has_an_instruction(name: str, multiplies_words: bool) -> None:
    target = load_target(name)
    assert target.gpu is not None
    model = ir.from_proto(onnx.shape_inference.infer_shapes(_quantized_network("uint8")))
    source = make_launch_plan(model, target, name="net", progress=Silent()).plan.program.source
    assert ("dp4a.u32.s32" in source) == multiplies_words
    if (code := compile_cuda(source, target.gpu.architecture)) is None:
        pytest.skip("NVRTC is not installed (pip install 'edgec[gpu]')")
    assert code.startswith(b"\x7fELF")
