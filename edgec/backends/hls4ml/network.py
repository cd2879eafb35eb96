"""A quantised network as the layers of hls4ml, each with the type of its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgec.backends.hls4ml.fixed_point import FixedType
from edgec.backends.rtl.integer_graph import IntegerGraph

Setting = str | int | bool | list[int]


@dataclass(frozen=True, eq=False)
class Constants:
    """Weights or biases and their type.

    Attributes:
        values: float64, in hls4ml's layout; the type holds them exactly.
        type: of each element.
    """

    values: NDArray[np.float64]
    type: FixedType


@dataclass(frozen=True, eq=False)
class HlsLayer:
    """One layer of hls4ml.

    Attributes:
        name: in the generated code.
        kind: hls4ml's class, `Conv2D`, `Dense`, ….
        node: the ONNX node that it stems from.
        op: its operator.
        value: the ONNX value that its result stands for.
        inputs: names of the layers that it reads.
        shape: of the result, channels last, without the batch.
        order: int64 [N]; element n of the result is element `order[n]` of the ONNX value.
        result: type of the result.
        settings: what hls4ml's class wants besides.
        constants: by role, `weight`, `bias` or `depthwise`.
        macs: multiply-accumulates of one inference.
        accumulator: type of the sums; None where nothing is summed.
        quantised: whether the result's type is that of a quantiser.
    """

    name: str
    kind: str
    node: str
    op: str
    value: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    order: NDArray[np.int64]
    result: FixedType
    settings: Mapping[str, Setting] = field(default_factory=dict)
    constants: Mapping[str, Constants] = field(default_factory=dict)
    macs: int = 0
    accumulator: FixedType | None = None
    quantised: bool = False


@dataclass(frozen=True, eq=False)
class HlsNetwork:
    """The whole network.

    Attributes:
        layers: each reads earlier ones; the inputs come first.
        inputs: layers that are inputs, in the order of the model.
        outputs: layers whose results are the outputs, in the order of the model.
        graph: the same network on integers; quantises inputs and is the reference of the testbench.
    """

    layers: tuple[HlsLayer, ...]
    inputs: tuple[HlsLayer, ...]
    outputs: tuple[HlsLayer, ...]
    graph: IntegerGraph
