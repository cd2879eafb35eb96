"""The work of ncnn's layers on a graphics processor, in classes of its own.

There a call costs more than most layers compute: what counts is how many kernels are launched, and how long the chain
of dependent products of one output is, which a processor with idle lanes waits for. A filtered convolution (Winograd)
launches three kernels, a border one more, cutting and joining one for each part. A layer that ncnn has no kernel for
runs on the processor, to and fro. Networks of int8 run there altogether.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from ncnn_shapes import Layer, Shape

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.measure.prediction_work import Cost

_LAUNCHES_OF_FILTERING = 3
_NUMBERS_IN_A_VECTOR = 4
_MILLION = 1e6
_THOUSAND = 1e3


class GraphicsCost(StrEnum):
    """A class of work; those of int8 networks are the processor's."""

    DENSE = "graphics_dense_us_per_mmac"
    DENSE_3X3 = "graphics_dense_3x3_us_per_mmac"
    POINTWISE = "graphics_pointwise_us_per_mmac"
    DEPTHWISE = "graphics_depthwise_us_per_mmac"
    STREAMED = "graphics_streamed_us_per_mb"
    TRAFFIC = "graphics_traffic_us_per_mb"
    KERNEL = "graphics_kernel_us"
    LIGHT_KERNEL = "graphics_light_kernel_us"
    CHAIN = "graphics_chain_us_per_thousand"
    CROSSING = "graphics_crossing_us"
    INTEGER = "processor_integer_us_per_mmac"
    INTEGER_3X3 = "processor_integer_3x3_us_per_mmac"
    INTEGER_DEPTHWISE = "processor_integer_depthwise_us_per_mmac"
    PROCESSOR_STREAMED = "processor_streamed_us_per_mb"
    PROCESSOR_TRAFFIC = "processor_traffic_us_per_mb"
    PROCESSOR_KERNEL = "processor_kernel_us"


_CONTRACTIONS = {
    KernelKind.DENSE: GraphicsCost.DENSE,
    KernelKind.DENSE_3X3: GraphicsCost.DENSE_3X3,
    KernelKind.DEPTHWISE: GraphicsCost.DEPTHWISE,
}
_OF_INTEGER_NETWORKS = {
    Cost.INTEGER: GraphicsCost.INTEGER,
    Cost.INTEGER_3X3: GraphicsCost.INTEGER_3X3,
    Cost.INTEGER_DEPTHWISE: GraphicsCost.INTEGER_DEPTHWISE,
    Cost.STREAMED: GraphicsCost.PROCESSOR_STREAMED,
    Cost.TRAFFIC: GraphicsCost.PROCESSOR_TRAFFIC,
    Cost.MOVED: GraphicsCost.PROCESSOR_TRAFFIC,
    Cost.KERNEL: GraphicsCost.PROCESSOR_KERNEL,
    Cost.LIGHT_KERNEL: GraphicsCost.PROCESSOR_KERNEL,
}


def processor_work(work: Mapping[Cost, float]) -> dict[GraphicsCost, float]:
    """What an int8 network's work on the processor counts as on a set-up with a graphics processor."""
    found: dict[GraphicsCost, float] = {}
    for cost, goal in _OF_INTEGER_NETWORKS.items():
        found[goal] = found.get(goal, 0.0) + work.get(cost, 0.0)
    return found


def graphics_work(
    layer: Layer, inputs: list[Shape], outputs: list[Shape], planned: PlannedLayer, *, grouped: bool
) -> dict[GraphicsCost, float]:
    """Millions of multiply-accumulates, megabytes, launches and thousands of dependent products of a layer.

    Args:
        layer: a line of the `.param` file.
        inputs: shapes of its inputs.
        outputs: shapes of its outputs.
        planned: the same layer as edgec describes a kernel.
        grouped: whether it convolves groups of channels, which no other kernel than the plain one does.
    """
    if layer.kind.endswith("DetectionOutput"):
        return {}
    if layer.kind == "Reduction":
        return {GraphicsCost.CROSSING: 1.0}
    launches = float(_launches(layer, inputs, outputs, planned))
    if planned.kind == KernelKind.VECTOR:
        weights = planned.weight_bytes / _MILLION
        chain = weights * _MILLION / _NUMBERS_IN_A_VECTOR / math.prod(outputs[0]) / _THOUSAND
        return {GraphicsCost.KERNEL: launches, GraphicsCost.STREAMED: weights, GraphicsCost.CHAIN: chain}
    work = {
        GraphicsCost.KERNEL if planned.macs else GraphicsCost.LIGHT_KERNEL: launches,
        GraphicsCost.TRAFFIC: (planned.bytes - planned.weight_bytes) / _MILLION,
    }
    if planned.macs:
        kind = KernelKind.DENSE if grouped else planned.kind
        work[_CONTRACTIONS.get(kind, GraphicsCost.POINTWISE)] = planned.macs / _MILLION
    if planned.macs and planned.kind != KernelKind.DEPTHWISE:
        taps = 1 if planned.kind == KernelKind.DENSE_3X3 else layer.pair(1, 1)[0] * layer.pair(1, 1)[1]
        work[GraphicsCost.CHAIN] = planned.depth * taps / _THOUSAND
    return work


def _launches(layer: Layer, inputs: list[Shape], outputs: list[Shape], planned: PlannedLayer) -> int:
    if layer.kind == "Concat":
        return len(inputs)
    if layer.kind == "Slice":
        return len(outputs)
    if not planned.macs or planned.kind == KernelKind.VECTOR:
        return 1
    border = layer.option(1) > 1 and layer.option(4) != 0
    return border + (_LAUNCHES_OF_FILTERING if planned.kind == KernelKind.DENSE_3X3 else 1)
