"""The pass `convert-float16`: what is converted, what stays, and what comes out."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.core.errors import EdgecError
from edgec.core.passes import PassContext, PassResult
from edgec.core.target_files import load_target
from edgec.graph.fidelity import compare
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import run_reference
from edgec.passes.convert_float16 import ConvertFloat16, ConvertFloat16Options


def network(largest: float = 1.0) -> ir.Model:
    """A convolution, a softmax, a matrix product, and an output from the middle."""
    numbers = np.random.default_rng(0)
    kernel = numbers.standard_normal((8, 4, 3, 3)).astype(np.float32) / 6
    kernel[0, 0, 0, 0] = largest
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["middle"], "relu"),
        helper.make_node("GlobalAveragePool", ["middle"], ["b"], "pool"),
        helper.make_node("Flatten", ["b"], ["c"], "flatten"),
        helper.make_node("MatMul", ["c", "matrix"], ["d"], "product"),
        helper.make_node("Softmax", ["d"], ["e"], "softmax"),
        helper.make_node("Mul", ["e", "e"], ["y"], "alone"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5]),
            helper.make_tensor_value_info("middle", TensorProto.FLOAT, [1, 8, 6, 6]),
        ],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(numbers.standard_normal((8, 5)).astype(np.float32), "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return ir.from_proto(onnx.shape_inference.infer_shapes(model))


def converted(model: ir.Model, target: str = "raspberry-pi-5", **options: object) -> PassResult:
    step = ConvertFloat16(ConvertFloat16Options.model_validate(options))
    return step.run(model, PassContext(target=load_target(target)))


def test_outputs_keep_their_types_and_nearly_their_values() -> None:
    model = network()
    samples = sample_inputs(model, 2, 0)
    expected = run_reference(network(), samples)
    result = converted(model)
    assert result.stats["converted"] == 5
    assert [str(output.dtype) for output in model.graph.outputs] == ["FLOAT", "FLOAT"]
    assert compare(expected, run_reference(model, samples)).max_relative_error < 5e-3
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_softmax_stays_and_so_does_a_node_without_a_contraction_beside_it() -> None:
    result = converted(network())
    assert {skip.node for skip in result.skipped} == {"alone"}
    assert not any(
        node.op_type == "Softmax" and node.outputs[0].dtype != ir.DataType.FLOAT for node in result.model.graph
    )


def test_large_constants_and_ignored_nodes_stay() -> None:
    result = converted(network(largest=1e5), ignore=("prod*",))
    reasons = {skip.node: skip.reason for skip in result.skipped}
    assert "65504" in reasons["conv"]
    assert "ignore" in reasons["product"]
    assert not result.modified


def test_a_core_without_half_arithmetic_is_refused_unless_forced() -> None:
    with pytest.raises(EdgecError) as found:
        converted(network(), "raspberry-pi-4")
    assert found.value.code.code == "EC0317"
    assert converted(network(), "raspberry-pi-4", force=True).modified
