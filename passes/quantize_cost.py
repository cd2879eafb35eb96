"""Whether a layer is faster in integers than in fp32 on a target."""

from __future__ import annotations

import math
import platform
import tomllib
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edgec.core.target import Target
from edgec.passes.quantize_layers import Layer

COSTS = Path(__file__).with_suffix(".toml")
"""What layers were measured to cost; written by benchmarks/quantization_layers.py."""

_FEW_CHANNELS = 4
_X86_64 = ("x86_64", "amd64")
_ARM64 = ("aarch64", "arm64")


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


class LayerCost(BaseModel):
    """What one layer between two others costs.

    Attributes:
        kind: of the layer.
        inputs: channels.
        outputs: channels.
        layer: its operator and its extents, in words.
        real: instructions or nanoseconds of an inference in fp32.
        integers: the same in eight-bit integers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: LayerKind
    inputs: int = Field(gt=0)
    outputs: int = Field(gt=0)
    layer: str
    real: int = Field(gt=0)
    integers: int = Field(gt=0)


class CoreCosts(BaseModel):
    """What layers cost on cores of one architecture with one kind of dot product.

    Attributes:
        architecture: `arm64` or `x86_64`.
        dot_product: of the core, as in its datasheet.
        quantity: `instructions` (emulated) or `nanoseconds`.
        target: that the layers were measured for.
        layers: all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    dot_product: str
    quantity: str
    target: str
    layers: tuple[LayerCost, ...]

    def nearest(self, layer: Layer) -> LayerCost | None:
        """The measured layer of the same kind with the most similar numbers of channels; None without any of a kind."""
        kind, (inputs, outputs) = LayerKind.of(layer), channels_of(layer)
        alike = [cost for cost in self.layers if cost.kind is kind]

        def distance(cost: LayerCost) -> float:
            return abs(math.log(cost.inputs / inputs)) + abs(math.log(cost.outputs / outputs))

        return min(alike, key=distance, default=None)


class Costs(BaseModel):
    """The content of the file of costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cores: tuple[CoreCosts, ...] = ()


@cache
def measured_costs() -> Costs:
    """What was measured."""
    return Costs.model_validate(tomllib.loads(COSTS.read_text(encoding="utf-8")))


def costs_for(target: Target | None) -> CoreCosts | None:
    """What layers cost on cores like that of a target; None where nobody measured it."""
    if target is None or target.backend != "tvm":
        return None
    own = (architecture_of(target), target.core.dot_product)
    return next((core for core in measured_costs().cores if (core.architecture, core.dot_product) == own), None)


def slower_layers(layers: Sequence[Layer], target: Target | None) -> dict[str, str]:
    """The layers that integers would slow down on a target, by name, with the reason.

    Decided by what the most similar layer costs on cores with the same instructions. Without a target, for hardware
    that is made for the network, and for cores that nobody measured, no layer is known to be slower.
    """
    costs = costs_for(target)
    if costs is None:
        return {}
    slower = {}
    for layer in layers:
        cost = costs.nearest(layer)
        if cost is not None and cost.integers > cost.real:
            slower[layer.name] = (
                f"{cost.kind.value} like it ({cost.layer}) takes {cost.integers / cost.real:.2f} times the "
                f"{costs.quantity} of fp32 in integers, measured on {costs.target}"
            )
    return slower


def speed_source(target: Target | None) -> str:
    """What the decision rests on, for the report."""
    costs = costs_for(target)
    if costs is None:
        return "nothing: no layers were measured for such a core"
    return f"{costs.target}, by {costs.quantity}"


def channels_of(layer: Layer) -> tuple[int, int]:
    """Channels that a layer reads and writes."""
    outputs = int(layer.weights.shape[layer.axis])
    if layer.node.op_type != "Conv":
        return layer.weights.size // outputs, outputs
    return int(layer.weights.shape[1]) * layer.groups, outputs


def architecture_of(target: Target) -> str:
    """The instruction set: `arm64`, `x86_64`, or what else the triple begins with."""
    triple = target.compiler.triple
    name = (platform.machine() if triple == "native" else triple.partition("-")[0]).lower()
    return "arm64" if name in _ARM64 else "x86_64" if name in _X86_64 else name


def is_arm64(target: Target) -> bool:
    """Whether the core is a 64-bit Arm."""
    return architecture_of(target) == "arm64"
