"""Matrix products of every kind against ONNX Runtime, many in one model so that few compilations are needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_evaluator import AVX2, AVX512, NEON, SCALAR, assert_agrees
from onnx import helper, numpy_helper

from edgec.backends.tvm.core_description import CoreDescription


@dataclass(frozen=True)
class Case:
    """Shapes of the operands, those that are constant, and the element type."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    constant: tuple[int, ...] = (1, 2)
    attributes: dict[str, object] = field(default_factory=dict)
    dtype: str = "float32"


def model_of(cases: list[Case]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    generator = np.random.default_rng(3)
    nodes, inputs, outputs, initializers = [], [], [], []
    values: dict[str, np.ndarray] = {}
    for index, case in enumerate(cases):
        names = []
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
        for place, shape in enumerate(case.shapes):
            name = f"operand{index}_{place}"
            contents = (generator.standard_normal(shape) * 9).astype(case.dtype)
            if place in case.constant:
                initializers.append(numpy_helper.from_array(contents, name))
            else:
                inputs.append(helper.make_tensor_value_info(name, kind, shape))
                values[name] = contents
            names.append(name)
        nodes.append(helper.make_node(case.op, names, [f"y{index}"], name=f"node{index}", **case.attributes))
        outputs.append(helper.make_tensor_value_info(f"y{index}", kind, None))
    graph = helper.make_graph(nodes, "products", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), values


CASES = [
    Case("MatMul", ((1, 300), (300, 10))),
    Case("MatMul", ((37, 64), (64, 100))),
    Case("MatMul", ((2, 50, 24), (24, 33))),
    Case("MatMul", ((32, 1, 20), (20, 48))),
    Case("MatMul", ((2, 3, 17, 16), (2, 3, 16, 19)), constant=()),
    Case("MatMul", ((2, 1, 9, 16), (3, 16, 32)), constant=()),
    Case("MatMul", ((2, 1, 16), (2, 16, 32)), constant=()),
    Case("MatMul", ((2, 1, 16), (2, 16, 7)), constant=()),
    Case("MatMul", ((4, 5, 16), (4, 16, 20))),
    Case("MatMul", ((16,), (16, 20))),
    Case("MatMul", ((5, 16), (16,)), constant=()),
    Case("MatMul", ((16,), (16,)), constant=()),
    Case("MatMul", ((7, 30), (30, 21)), constant=(0,)),
    Case("MatMul", ((6, 30), (30, 22)), dtype="float64"),
    Case("MatMul", ((6, 30), (30, 22)), dtype="int32"),
    Case("Gemm", ((1, 128), (10, 128), (10,)), attributes={"transB": 1}),
    Case("Gemm", ((1, 1280), (1000, 1280), (1000,)), attributes={"transB": 1}),
    Case("Gemm", ((12, 20), (12, 25), (20, 1)), attributes={"transA": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", ((20, 12), (12, 25), (20, 25)), constant=(), attributes={"alpha": 1.5, "beta": 0.5}),
    Case("Gemm", ((3, 12), (25, 12), (1,)), constant=(), attributes={"transB": 1}),
    Case("Gemm", ((20, 12), (12, 32)), attributes={"alpha": 0.25}),
]


@pytest.mark.parametrize("core", [AVX512, AVX2, NEON, SCALAR], ids=["avx512", "avx2", "neon", "scalar"])
def test_products_agree_on_every_kind_of_core(core: CoreDescription) -> None:
    assert_agrees(*model_of(CASES), core)


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """A product of stacks whose extents broadcast."""
    rows, depth, columns = (draw(st.sampled_from([1, 2, 3, 7, 16, 17, 31, 64])) for _ in range(3))
    stack = [draw(st.sampled_from([1, 2, 3])) for _ in range(draw(st.integers(0, 2)))]
    left = [extent if draw(st.booleans()) else 1 for extent in stack]
    right = [extent if draw(st.booleans()) else 1 for extent in stack[draw(st.integers(0, len(stack))) :]]
    constant = draw(st.sampled_from([(), (1,), (1,)]))
    dtype = draw(st.sampled_from(["float32", "float32", "float64", "int32"]))
    return Case("MatMul", ((*left, rows, depth), (*right, depth, columns)), constant, dtype=dtype)


@given(st.lists(any_case(), min_size=16, max_size=16), st.sampled_from([AVX512, AVX2, NEON, SCALAR]))
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_products_of_any_shape_agree(cases: list[Case], core: CoreDescription) -> None:
    assert_agrees(*model_of(cases), core)
