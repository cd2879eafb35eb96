"""Running a pass on a model and comparing it with ONNX Runtime before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgec.core.passes import Pass, PassContext, PassResult
from edgec.passes.normalise_graph import NormaliseGraph
from edgec.passes.static_shapes import StaticShapes

Feeds = Mapping[str, np.ndarray]


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    types: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model from nodes; inputs are float unless `types` says otherwise, outputs have whatever type is inferred."""
    kinds = types or {}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def prepared(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None) -> ir.Model:
    """The model with unique names and static shapes, as every later pass gets it."""
    model = ir.serde.deserialize_model(proto)
    NormaliseGraph().run(model, PassContext())
    StaticShapes(StaticShapes.Options(shapes=dict(shapes or {}))).run(model, PassContext())
    return model


def random_feeds(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal values for floats, 1 and 2 for integers, for a model with static inputs."""
    generator = np.random.default_rng(seed)
    feeds = {}
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        shape = [dimension.dim_value or 1 for dimension in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if np.issubdtype(dtype, np.floating):
            feeds[value.name] = generator.standard_normal(shape).astype(dtype)
        else:
            feeds[value.name] = generator.integers(1, 3, shape).astype(dtype)
    return feeds


def outputs_of(model: onnx.ModelProto | ir.Model, feeds: Feeds) -> list[np.ndarray]:
    """What ONNX Runtime computes, without optimisations of its own."""
    proto = model if isinstance(model, onnx.ModelProto) else ir.serde.serialize_model(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    return session.run(None, dict(feeds))


def assert_same(before: Sequence[np.ndarray], after: Sequence[np.ndarray], tolerance: float = 1e-5) -> None:
    """Equal within a share of the range of each output."""
    assert len(before) == len(after)
    for expected, actual in zip(before, after, strict=True):
        assert expected.shape == actual.shape
        assert expected.dtype == actual.dtype
        span = float(np.abs(expected).max()) if expected.size and expected.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(span, 1.0))


def check_pass(
    step: Pass, proto: onnx.ModelProto, feeds: Feeds | None = None, tolerance: float = 1e-5
) -> tuple[ir.Model, PassResult]:
    """Run a pass on a prepared model; its outputs, names of inputs and outputs and the ONNX checker must agree."""
    given = feeds if feeds is not None else random_feeds(proto)
    expected = outputs_of(proto, given)
    model = prepared(proto, {name: array.shape for name, array in given.items()})
    result = step.run(model, PassContext())
    after = ir.serde.serialize_model(result.model)
    onnx.checker.check_model(after, full_check=True)
    assert [value.name for value in after.graph.input] == [value.name for value in proto.graph.input]
    assert [value.name for value in after.graph.output] == [value.name for value in proto.graph.output]
    assert_same(expected, outputs_of(after, given), tolerance)
    return result.model, result


def op_types(model: ir.Model) -> list[str]:
    """The operator types of all nodes, subgraphs included, in alphabetical order."""
    return sorted(node.op_type for node in ir.traversal.RecursiveGraphIterator(model.graph))
