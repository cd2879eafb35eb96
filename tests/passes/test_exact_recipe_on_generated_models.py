"""Networks of every kind, in old and new operator sets, compute the same after the recipe and the lowerings."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
import pytest

from edgec.core.passes import PassContext
from edgec.passes.lower_functions import LowerFunctions
from edgec.passes.lower_recurrent import LowerRecurrent
from tests.models import control_flow, convolutional, quantized, recurrent
from tests.passes.comparison import assert_same, op_types, outputs_of, random_feeds
from tests.passes.test_exact_recipe import optimise

NETWORKS: dict[Callable[[int], onnx.ModelProto], tuple[int, ...]] = {
    convolutional.conv_net: (9, 11, 13, 17, 21, 23),
    convolutional.residual_net: (9, 13, 18, 23),
    convolutional.mobile_net: (11, 13, 17, 22),
    convolutional.two_outputs_net: (9, 13, 18, 22),
    convolutional.detector_net: (13, 17, 19),
    control_flow.if_net: (11, 13, 17, 21),
    control_flow.loop_net: (11, 13, 17, 21),
    control_flow.scan_net: (11, 13, 17, 21),
    quantized.quantized_net: (13, 17, 21),
    recurrent.gru_net: (9, 13, 17, 22),
    recurrent.lstm_net: (9, 13, 17, 22),
    recurrent.byte_embedding_net: (11, 13, 17, 21),
    recurrent.attention_net: (13, 17, 21, 23),
}


@pytest.mark.parametrize(
    ("write", "opset"),
    [(write, opset) for write, opsets in NETWORKS.items() for opset in opsets],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_network_computes_the_same(write: Callable[[int], onnx.ModelProto], opset: int) -> None:
    proto = write(opset)
    shapes = {"image": (1, 3, 32, 40)} if write is convolutional.detector_net else None
    model = optimise(ir.serde.deserialize_model(proto), shapes)
    fixed = ir.serde.serialize_model(model)
    feeds = random_feeds(fixed)
    expected = outputs_of(proto, feeds)
    assert_same(expected, outputs_of(fixed, feeds))
    for lowering in (LowerRecurrent(), LowerFunctions()):
        lowering.run(model, PassContext())
    assert_same(expected, outputs_of(model, feeds))
    assert not {"BatchNormalization", "LSTM", "GRU", "Dropout", "Shape"} & set(op_types(model))
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
