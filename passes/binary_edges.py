"""Eight bits for the layers that are not binary."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgec.core.passes import PassContext
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.graph.shapes import infer_shapes
from edgec.passes.calibration_ranges import Method
from edgec.passes.quantize_layers import find_layers
from edgec.passes.quantize_plan import Planner, Scheme, Signedness, WeightScheme

_BITS, _SAMPLES = 8, 128


def round_edges(model: ir.Model, names: Sequence[str], dialect: Dialect, context: PassContext) -> ir.Model:
    """Quantize the layers of these names, their ranges observed on the calibration samples.

    Returns:
        The model, changed in place unless its opset must be raised.
    """
    infer_shapes(model)
    layers = [layer for layer in find_layers(model, ())[0] if layer.name in set(names)]
    samples = list(context.calibration)
    count = min(_SAMPLES, len(samples))
    chosen = [samples[index * len(samples) // count] for index in range(count)]
    scheme = Scheme(Method.MSE, 99.99, _BITS, Signedness.TARGET.for_target(context.target), False)
    weights = WeightScheme(_BITS, True, False, False, False)
    planner = Planner(model, layers, scheme, {layer.name: weights for layer in layers}, chosen)
    return write_quantization(model, planner.plan([layer.name for layer in layers]), dialect=dialect)
