"""Networks for tests of kernels, from onnx's text."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

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


def network(
    inputs: str, nodes: str, weights: dict[str, tuple[int, ...]], outputs: tuple[str, ...], dtype: str = "float"
) -> onnx.ModelProto:
    """The network with random weights; `float` is what its floating-point tensors are."""
    untyped = f'<ir_version: 8, opset_import: ["": 17]> net ({inputs}) => () {{ {nodes} }}'
    model = onnx.parser.parse_model(untyped.replace("float[", f"{dtype}["))
    for name, shape in weights.items():
        contents = RNG.standard_normal(shape) * 0.3
        model.graph.initializer.append(numpy_helper.from_array(contents.astype(_NUMPY[dtype]), name))
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value for value in inferred.graph.value_info}
    inferred.graph.output.extend(known[name] for name in outputs)
    return inferred


_NUMPY = {"float": np.float32, "float16": np.float16}
