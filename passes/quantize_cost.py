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
from edgec.passes.graph_edit import static_shape
from edgec.passes.quantize_layers import Layer

COSTS = Path(__file__).with_suffix(".toml")
"""What layers were measured to cost; written by benchmarks/quantization_layers.py."""

FEW_CHANNELS = 4
"""A convolution that reads at most so many has little to multiply in one instruction."""

_LONGEST_VECTOR = 64
"""Bytes."""
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
        """The kind of a convolution."""
        if layer.groups > 1:
            return cls.DEPTHWISE if layer.weights.shape[1] == 1 else cls.GROUPED
        if layer.weights.shape[1] <= FEW_CHANNELS:
            return cls.FIRST
        return cls.POINTWISE if all(extent == 1 for extent in layer.weights.shape[2:]) else cls.WINDOW


class LayerSize(BaseModel):
    """What the cost of a layer depends on.

    Attributes:
        kind: of the layer.
        inputs: channels.
        outputs: channels.
        taps: of the window of a convolution; 1 for a matrix product.
        places: of the output that all channels are computed of: of a picture height times width, of a matrix rows.
        stride: places of the input for each of the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: LayerKind
    inputs: int = Field(gt=0)
    outputs: int = Field(gt=0)
    taps: int = Field(gt=0)
    places: int = Field(gt=0)
    stride: int = Field(gt=0)

    @classmethod
    def of(cls, layer: Layer) -> LayerSize:
        """The size of a layer; padding is taken to keep the extents. A convolution of one place is a product."""
        outputs = int(layer.weights.shape[layer.axis])
        extents = static_shape(layer.read) or ()
        if layer.node.op_type != "Conv":
            inputs = layer.weights.size // outputs
            rows = max(1, math.prod(extents[:-1]))
            return cls(kind=LayerKind.PRODUCT, inputs=inputs, outputs=outputs, taps=1, places=rows, stride=1)
        strides = layer.node.attributes.get_ints("strides", None) or [1] * len(extents[2:])
        places = math.prod(-(-extent // stride) for extent, stride in zip(extents[2:], strides, strict=True))
        taps = math.prod(layer.weights.shape[2:])
        return cls(
            kind=LayerKind.PRODUCT if places == taps == 1 else LayerKind.of(layer),
            inputs=int(layer.weights.shape[1]) * layer.groups,
            outputs=outputs,
            taps=taps,
            places=max(1, places),
            stride=math.prod(strides),
        )

    def distance(self, other: LayerSize) -> float:
        """How much the sizes differ: the logarithms of the ratios of all numbers, added up.

        One of the numbers is the largest vector that the output channels fill without a rest.
        """
        return sum(abs(math.log(mine / its)) for mine, its in zip(self._numbers(), other._numbers(), strict=True))

    def _numbers(self) -> tuple[int, ...]:
        vector = math.gcd(self.outputs, _LONGEST_VECTOR)
        return self.inputs, self.outputs, self.taps, self.places, self.stride, vector


class LayerCost(LayerSize):
    """What one layer between two others costs.

    Attributes:
        layer: its operator and its extents, in words.
        real: instructions or nanoseconds of an inference in fp32.
        integers: the same in eight-bit integers.
    """

    layer: str
    real: int = Field(gt=0)
    integers: int = Field(gt=0)


class CoreCosts(BaseModel):
    """What layers cost on cores of one architecture with one kind of dot product.

    Attributes:
        architecture: `arm64` or `x86_64`.
        dot_product: of the core, as in its datasheet.
        quantity: `instructions` (emulated) or `nanoseconds`.
        target: that the layers were measured for; of `nanoseconds` the processor that they were measured on.
        layers: all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    dot_product: str
    quantity: str
    target: str
    layers: tuple[LayerCost, ...]

    def nearest(self, layer: Layer) -> LayerCost | None:
        """The measured layer of the same kind and of the most similar size; None without any of a kind."""
        size = LayerSize.of(layer)
        return min((cost for cost in self.layers if cost.kind is size.kind), key=size.distance, default=None)


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


def architecture_of(target: Target) -> str:
    """The instruction set: `arm64`, `x86_64`, or what else the triple begins with."""
    triple = target.compiler.triple
    name = (platform.machine() if triple == "native" else triple.partition("-")[0]).lower()
    return "arm64" if name in _ARM64 else "x86_64" if name in _X86_64 else name


def is_arm64(target: Target) -> bool:
    """Whether the core is a 64-bit Arm."""
    return architecture_of(target) == "arm64"
