"""Kernels without a contraction: pooling, reductions, softmax, normalisation, copies, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from kernel_evaluator import AVX2, AVX512, NEON, SCALAR, assert_agrees
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tvm.core_description import CoreDescription


@dataclass(frozen=True)
class Case:
    """A chain of nodes from one input of some shape: (operator, attributes, constant operands)."""

    shape: tuple[int, ...]
    nodes: tuple[tuple[str, dict[str, object], tuple[np.ndarray, ...]], ...]


def one(shape: tuple[int, ...], op: str, *constants: np.ndarray, **attributes: object) -> Case:
    return Case(shape, ((op, attributes, constants),))


def model_of(cases: list[Case]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    generator = np.random.default_rng(5)
    nodes, inputs, outputs, initializers = [], [], [], []
    values: dict[str, np.ndarray] = {}
    for index, case in enumerate(cases):
        previous = f"x{index}"
        values[previous] = generator.standard_normal(case.shape).astype(np.float32)
        inputs.append(helper.make_tensor_value_info(previous, TensorProto.FLOAT, case.shape))
        for place, (op, attributes, constants) in enumerate(case.nodes):
            names = []
            for position, contents in enumerate(constants):
                names.append(f"constant{index}_{place}_{position}")
                initializers.append(numpy_helper.from_array(contents, names[-1]))
            operands = [previous, previous] if op in ("Add", "Concat") and not names else [previous, *names]
            previous = f"y{index}_{place}"
            nodes.append(helper.make_node(op, operands, [previous], name=f"node{index}_{place}", **attributes))
        outputs.append(helper.make_tensor_value_info(previous, TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "kernels", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), values


ONES = np.ones
CASES = [
    one((1, 32, 15, 15), "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    one((1, 17, 8, 8), "MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    one((2, 24, 9, 9), "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    one((1, 40, 7, 7), "GlobalAveragePool"),
    one((2, 8, 33), "MaxPool", kernel_shape=[3], strides=[2]),
    one((1, 1, 12, 12), "AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    one((3, 64), "Softmax"),
    one((2, 5, 197), "Softmax"),
    one((1, 21, 6, 6), "Softmax", axis=1),
    one((3, 7), "LogSoftmax"),
    one((2, 10, 48), "LayerNormalization", ONES(48, np.float32), ONES(48, np.float32) * 2),
    one((2, 10, 37), "LayerNormalization", ONES(37, np.float32)),
    one((2, 16, 9, 9), "InstanceNormalization", ONES(16, np.float32), ONES(16, np.float32)),
    one((4, 5, 130), "ReduceMean", axes=[2], keepdims=0),
    one((4, 33, 20), "ReduceMax", axes=[1], keepdims=1),
    one((4, 6, 7, 7), "ReduceMean", axes=[2, 3], keepdims=1),
    one((3, 40), "ReduceSum", np.array([0, 1], np.int64), keepdims=0),
    one((2, 3, 8, 50), "Transpose", perm=[0, 2, 3, 1]),
    one((64, 50), "Transpose", perm=[1, 0]),
    one((2, 12, 5, 5), "Concat", axis=1),
    one((2, 12, 5, 5), "Concat", axis=3),
    one((3, 5, 7), "Add", ONES((5, 1), np.float32)),
    one((3, 5, 19), "Sigmoid"),
    one((5,), "Relu"),
    Case((1, 16, 11, 11), (("MaxPool", {"kernel_shape": [3, 3]}, ()), ("Relu", {}, ()), ("Add", {}, ()))),
    Case((2, 6, 33), (("Softmax", {}, ()), ("Add", {}, ()))),
]


@pytest.mark.parametrize("core", [AVX512, AVX2, NEON, SCALAR], ids=["avx512", "avx2", "neon", "scalar"])
def test_kernels_agree_on_every_kind_of_core(core: CoreDescription) -> None:
    assert_agrees(*model_of(CASES), core)


def test_threads_do_not_change_results() -> None:
    assert_agrees(*model_of(CASES), AVX2, threads=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_extrema_of_bytes_are_those_of_onnx_runtime(dtype: type[np.generic]) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs, outputs, nodes, values = [], [], [], {}
    for channels in (17, 48, 64, 128):
        name, limits = f"x{channels}", np.iinfo(dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, (1, channels, 11, 13)))
        outputs.append(helper.make_tensor_value_info(f"y{channels}", kind, (1, channels, 6, 7)))
        attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("MaxPool", [name], [f"y{channels}"], **attributes))
        drawn = np.random.default_rng(channels).integers(limits.min, limits.max, (1, channels, 11, 13), endpoint=True)
        values[name] = drawn.astype(dtype)
    graph = helper.make_graph(nodes, "pools", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for core in (AVX512, AVX2, NEON, SCALAR):
        for threads in (1, 2):
            assert_agrees(model, values, core, threads=threads)
