"""Whether a layer is faster in integers than in fp32 on a target."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from enum import StrEnum

from edgec.core.target import Target
from edgec.passes.quantize_layers import Layer

_FEW_CHANNELS = 4


class LayerKind(StrEnum):
    """What decides how much integers gain."""

    FIRST = "a convolution of few channels"
    WINDOW = "a convolution with a window"
    POINTWISE = "a convolution without a window"
    GROUPED = "a convolution in groups"
    DEPTHWISE = "a depthwise convolution"
    PRODUCT = "a matrix product"

    @classmethod
    def of(cls, layer: Layer) -> LayerKind:
        """The kind of a layer."""
        if layer.node.op_type != "Conv":
            return cls.PRODUCT
        if layer.groups > 1:
            return cls.DEPTHWISE if layer.weights.shape[1] == 1 else cls.GROUPED
        if layer.weights.shape[1] <= _FEW_CHANNELS:
            return cls.FIRST
        return cls.POINTWISE if all(extent == 1 for extent in layer.weights.shape[2:]) else cls.WINDOW


# The means of benchmarks/quantization_layers.py for a Raspberry Pi 4.
_INSTRUCTION_RATIOS: Mapping[LayerKind, float] = {
    LayerKind.FIRST: 1.72,
    LayerKind.WINDOW: 3.20,
    LayerKind.POINTWISE: 1.28,
    LayerKind.GROUPED: 1.18,
    LayerKind.DEPTHWISE: 1.48,
    LayerKind.PRODUCT: 0.95,
}
"""Instructions in integers over those in fp32 on 64-bit Arm without a dot product of eight-bit integers.

Products are multiplied and then widened, two instructions for eight of them; fp32 has a multiply-add for four, and
Winograd's algorithm for windows.
"""


def slower_layers(layers: Sequence[Layer], target: Target | None) -> dict[str, str]:
    """The layers that integers would slow down on a target, by name, with the reason.

    Decided by instructions, for 64-bit Arm without a dot product of eight-bit integers: x86 sums products of small
    integers in one instruction, and cores without vectors spend one multiplication on a product either way and read a
    quarter of the bytes. Without a target, and for hardware that is made for the network, no layer is slower.
    """
    if target is None or target.backend != "tvm" or not is_arm64(target) or target.core.dot_product != "none":
        return {}
    kinds = {layer.name: LayerKind.of(layer) for layer in layers}
    return {
        name: f"{kind.value} takes {_INSTRUCTION_RATIOS[kind]:g} times the instructions of fp32 in integers on "
        f"{target.name}, which has no dot product of eight-bit integers"
        for name, kind in kinds.items()
        if _INSTRUCTION_RATIOS[kind] > 1.0
    }


def is_arm64(target: Target) -> bool:
    """Whether the core is a 64-bit Arm."""
    triple = target.compiler.triple
    return (platform.machine() if triple == "native" else triple).lower().startswith(("aarch64", "arm64"))
