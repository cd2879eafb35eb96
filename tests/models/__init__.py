"""Small deterministic ONNX models for tests, each in every opset that has its operators.

Every generator returns an `onnx.ModelProto` with a static batch unless it says otherwise; weights are seeded, so two
calls give equal bytes. `ALL_MODELS` has each generator by name, `OLDEST_OPSET` the first opset it can be built in.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from tests.models.builder import GraphBuilder
from tests.models.control_flow import if_net, loop_net, scan_net
from tests.models.convolutional import conv_net, detector_net, mobile_net, residual_net, two_outputs_net
from tests.models.quantized import quantized_net
from tests.models.recurrent import attention_net, byte_embedding_net, gru_net, lstm_net

ALL_MODELS: dict[str, Callable[..., onnx.ModelProto]] = {
    generator.__name__: generator
    for generator in (
        *(conv_net, residual_net, mobile_net, two_outputs_net, detector_net),
        *(gru_net, lstm_net, byte_embedding_net, attention_net),
        *(if_net, loop_net, scan_net, quantized_net),
    )
}

OLDEST_OPSET: dict[str, int] = dict.fromkeys(ALL_MODELS, 9) | {"quantized_net": 11, "if_net": 11, "loop_net": 11}

__all__ = ["ALL_MODELS", "OLDEST_OPSET", "GraphBuilder", *ALL_MODELS]
