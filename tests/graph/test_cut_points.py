"""Cuts: every bottleneck is found, its costs add up, and head and tail together are the model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgec.core.errors import EdgecError
from edgec.graph.cost import model_size
from edgec.graph.cut_points import cut, cut_points
from edgec.graph.inputs import sample_inputs
from edgec.graph.reference import ReferenceSession
from edgec.graph.shapes import infer_shapes
from tests.models import ALL_MODELS, loop_net, residual_net, two_outputs_net

STATIC = [name for name in ALL_MODELS if name not in ("if_net", "detector_net")]


def _model(proto: object) -> ir.Model:
    model = ir.from_proto(proto)  # type: ignore[call-overload]
    infer_shapes(model)
    return model  # type: ignore[no-any-return]


def test_residual_branches_hold_no_cut_of_one_tensor() -> None:
    model = _model(residual_net())
    single = [point for point in cut_points(model, most_values=1) if point.after]
    operators = {node.name or node.outputs[0].name: node.op_type for node in model.graph}
    assert [operators[point.after] for point in single] == [
        *("Conv", "Relu", "Add", "Relu", "Add", "Relu", "GlobalAveragePool", "Flatten", "MatMul")
    ]


def test_costs_of_head_and_tail_add_up() -> None:
    model = _model(residual_net())
    size = model_size(model)
    points = cut_points(model)
    assert points[0].head_macs == 0
    assert points[-1].tail_macs == 0
    for point in points:
        assert point.head_macs + point.tail_macs == size.macs
        assert point.head_weight_bytes + point.tail_weight_bytes == size.bytes
    assert [point.head_macs for point in points] == sorted(point.head_macs for point in points)


@pytest.mark.parametrize("name", STATIC)
def test_head_and_tail_give_what_the_model_gives(name: str) -> None:
    model = _model(ALL_MODELS[name]())
    (sample,) = sample_inputs(model, 1, 0)
    whole = ReferenceSession(model).run(sample)
    inner = [point for point in cut_points(model) if point.after and point.tail_macs]
    for point in inner[:: max(1, len(inner) // 4)]:
        head, tail = cut(model, point.values)
        given = {str(value.name): sample[str(value.name)] for value in head.graph.inputs}
        sent = ReferenceSession(head).run(given)
        assert sum(array.nbytes for array in sent.values()) == point.payload_bytes
        made = ReferenceSession(tail).run(sent)
        for output in whole:
            assert np.allclose(whole[output], made[output], atol=1e-6)


def test_the_model_is_left_as_it_is() -> None:
    model = _model(loop_net())
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    for point in cut_points(model):
        if point.after:
            cut(model, point.values)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_values_that_do_not_cut_are_refused() -> None:
    model = _model(two_outputs_net())
    first = next(str(node.outputs[0].name) for node in model.graph if node.op_type == "Conv")
    branch = str(model.graph.outputs[0].name)
    with pytest.raises(EdgecError, match="EC0212"):
        cut(model, [branch])
    with pytest.raises(EdgecError, match="no value"):
        cut(model, ["nothing"])
    cut(model, [first])
