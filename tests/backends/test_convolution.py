"""Convolutions of every kind against ONNX Runtime, many in one model so that few compilations are needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_evaluator import AVX2, AVX512, NEON, SCALAR, assert_agrees
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tvm.core_description import CoreDescription


@dataclass(frozen=True)
class Case:
    """A convolution: input extents, weights (outputs, channels of a group, window…) and attributes."""

    x: tuple[int, ...]
    weights: tuple[int, ...]
    attributes: dict[str, object] = field(default_factory=dict)
    bias: bool = False
    followers: tuple[str, ...] = ()
    constant: bool = True


def model_of(cases: list[Case], op: str = "Conv") -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model with every case as an independent branch, and inputs for it."""
    generator = np.random.default_rng(7)
    nodes, inputs, outputs, initializers = [], [], [], []
    values: dict[str, np.ndarray] = {}

    def feed(name: str, shape: tuple[int, ...], constant: bool) -> str:
        contents = generator.standard_normal(shape).astype(np.float32)
        if constant:
            initializers.append(numpy_helper.from_array(contents, name))
        else:
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
            values[name] = contents
        return name

    for index, case in enumerate(cases):
        operands = [feed(f"x{index}", case.x, False), feed(f"w{index}", case.weights, case.constant)]
        if case.bias:
            count = case.weights[0] if op == "Conv" else case.weights[1] * int(str(case.attributes.get("group", 1)))
            operands.append(feed(f"b{index}", (count,), case.constant))
        previous = f"y{index}"
        nodes.append(helper.make_node(op, operands, [previous], name=f"conv{index}", **case.attributes))
        for place, follower in enumerate(case.followers):
            following = f"y{index}_{place}"
            names = [previous, previous] if follower == "Mul" else [previous]
            nodes.append(helper.make_node(follower, names, [following], name=f"follower{index}_{place}"))
            previous = following
        outputs.append(helper.make_tensor_value_info(previous, TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "convolutions", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), values


PLAIN = [
    Case((1, 16, 14, 14), (32, 16, 3, 3), {"pads": [1, 1, 1, 1]}, bias=True, followers=("Relu",)),
    Case((1, 3, 17, 19), (24, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, bias=True),
    Case((2, 8, 7, 7), (21, 8, 1, 1)),
    Case((1, 40, 13, 13), (48, 40, 1, 1), {"strides": [2, 2]}, followers=("Relu", "Mul")),
    Case((1, 64, 4, 4), (130, 64, 3, 3), {"pads": [1, 1, 1, 1]}, bias=True),
    Case((1, 4, 9, 23), (5, 4, 5, 2), {"pads": [0, 2, 3, 1], "dilations": [1, 3]}),
    Case((3, 33, 1, 1), (65, 33, 1, 1), bias=True),
    Case((1, 6, 11, 12), (7, 6, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    Case((1, 6, 11, 12), (16, 6, 4, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case((1, 6, 11, 12), (8, 6, 3, 3), {"auto_pad": "VALID"}, constant=False, bias=True),
]
DEPTHWISE = [
    Case((1, 32, 15, 15), (32, 1, 3, 3), {"group": 32, "pads": [1, 1, 1, 1]}, bias=True, followers=("Relu",)),
    Case((1, 24, 16, 16), (24, 1, 3, 3), {"group": 24, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case((2, 17, 9, 9), (17, 1, 5, 5), {"group": 17, "pads": [2, 2, 2, 2]}, bias=True),
    Case((1, 64, 13, 13), (64, 1, 3, 3), {"group": 64}),
    Case((1, 5, 10, 10), (15, 1, 3, 3), {"group": 5, "dilations": [2, 2]}, bias=True),
    Case((1, 16, 10, 10), (16, 1, 3, 3), {"group": 16, "pads": [1, 1, 1, 1]}, constant=False),
]
GROUPED = [
    Case((1, 32, 8, 8), (32, 4, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}, bias=True),
    Case((1, 12, 8, 8), (36, 4, 1, 1), {"group": 3}),
    Case((1, 64, 8, 8), (64, 32, 3, 3), {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case((1, 20, 6, 6), (10, 4, 3, 3), {"group": 5}, constant=False),
]
OTHER_RANKS = [
    Case((1, 8, 50), (16, 8, 5), {"pads": [2, 2], "strides": [2]}, bias=True, followers=("Relu",)),
    Case((2, 16, 31), (16, 1, 3), {"group": 16, "pads": [1, 1]}),
    Case((1, 1, 1024), (128, 1, 512), {"strides": [4], "pads": [254, 254]}),
    Case((1, 4, 6, 7, 8), (10, 4, 3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}, bias=True),
    Case((1, 16, 5, 6, 7), (16, 1, 3, 3, 3), {"group": 16, "pads": [1, 1, 1, 1, 1, 1]}),
]


@pytest.mark.parametrize("core", [AVX512, AVX2, NEON, SCALAR], ids=["avx512", "avx2", "neon", "scalar"])
def test_convolutions_agree_on_every_kind_of_core(core: CoreDescription) -> None:
    assert_agrees(*model_of([*PLAIN, *DEPTHWISE, *GROUPED, *OTHER_RANKS]), core)


TRANSPOSED = [
    Case((1, 16, 9, 11), (16, 24, 2, 2), {"strides": [2, 2]}, bias=True, followers=("Relu",)),
    Case((1, 16, 7, 8), (16, 20, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case((2, 6, 5, 6), (6, 7, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, bias=True),
    Case((1, 8, 6, 6), (8, 5, 3, 3), {"pads": [1, 1, 1, 1]}),
    Case((1, 8, 6, 5), (8, 4, 3, 3), {"strides": [3, 2], "auto_pad": "SAME_UPPER"}),
    Case((1, 8, 6, 5), (8, 4, 4, 3), {"strides": [3, 2], "auto_pad": "SAME_LOWER"}),
    Case((1, 4, 5, 5), (4, 6, 3, 3), {"strides": [2, 2], "output_shape": [10, 10]}),
    Case((1, 8, 5, 5), (8, 3, 3, 3), {"strides": [2, 2], "group": 2}, bias=True),
    Case((1, 6, 5, 5), (6, 1, 3, 3), {"strides": [2, 2], "group": 6}),
    Case((1, 4, 5, 5), (4, 6, 3, 3), {"strides": [2, 2], "dilations": [2, 2]}),
    Case((1, 4, 5, 5), (4, 6, 2, 2), {"strides": [3, 3]}),
    Case((1, 4, 20), (4, 6, 4), {"strides": [2], "pads": [1, 1]}),
    Case((1, 4, 4, 5, 6), (4, 6, 2, 2, 2), {"strides": [2, 2, 2]}),
]


@pytest.mark.parametrize("core", [AVX512, SCALAR], ids=["avx512", "scalar"])
def test_transposed_convolutions_agree(core: CoreDescription) -> None:
    assert_agrees(*model_of(TRANSPOSED, "ConvTranspose"), core)


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """A convolution of one to three spatial axes whose window fits its input."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilations = [draw(st.sampled_from([1, 1, 2])) for _ in range(rank)]
    reach = [(taps - 1) * dilation + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    extents = [length + draw(st.integers(0, 14)) for length in reach]
    attributes: dict[str, object] = {
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "dilations": dilations,
        "pads": [draw(st.integers(0, min(2, reach[axis % rank] - 1))) for axis in range(2 * rank)],
    }
    groups = draw(st.sampled_from([1, 1, 2, 3, 8]))
    inputs = draw(st.sampled_from([1, 2, 3, 5, 16]))
    outputs = groups * draw(st.sampled_from([1, 2, 5, 16, 17]))
    attributes["group"] = groups
    followers = draw(st.sampled_from([(), ("Relu",), ("Sigmoid", "Mul")]))
    batch = draw(st.sampled_from([1, 1, 2]))
    return Case(
        (batch, groups * inputs, *extents),
        (outputs, inputs, *kernel),
        attributes,
        bias=draw(st.booleans()),
        followers=followers,
        constant=draw(st.sampled_from([True, True, False])),
    )


@given(st.lists(any_case(), min_size=12, max_size=12), st.sampled_from([AVX512, AVX2, NEON, SCALAR]))
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_convolutions_of_any_geometry_agree(cases: list[Case], core: CoreDescription) -> None:
    assert_agrees(*model_of(cases), core)
