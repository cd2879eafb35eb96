"""Collects the layers of hls4ml while the nodes of a model are walked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgec.backends.hls4ml.fixed_point import FixedType, type_of
from edgec.backends.hls4ml.network import Constants, HlsLayer, Setting
from edgec.backends.rtl.integer_graph import Interval
from edgec.backends.rtl.wires import Constant, GraphBuilder, UnsupportedError, Wire
from edgec.graph.load import identifier

_LONGEST_NAME = 40


@dataclass
class LayerBuilder:
    """What each ONNX value became.

    Attributes:
        integers: the same walk on integers.
        intervals: bounds of its operations.
        layers: by name, in order.
        of_value: name of the layer that holds an ONNX value.
    """

    integers: GraphBuilder
    intervals: tuple[Interval, ...]
    layers: dict[str, HlsLayer] = field(default_factory=dict)
    of_value: dict[str, str] = field(default_factory=dict)

    def wire(self, value: ir.Value | None) -> Wire:
        """What a value is on integers.

        Raises:
            UnsupportedError: for a constant.
        """
        known = self.integers.known[str(value.name if value else None)]
        if isinstance(known, Constant):
            raise UnsupportedError("it works on a constant", "fold constants before")
        return known

    def constant(self, value: ir.Value | None) -> Constant | None:
        """A constant, or None for what depends on the inputs or is not there."""
        known = self.integers.known.get(str(value.name)) if value is not None else None
        return known if isinstance(known, Constant) else None

    def interval(self, value: ir.Value) -> Interval:
        """Bounds of a value's integers."""
        return self.intervals[self.wire(value).value]

    def type(self, value: ir.Value) -> FixedType:
        """The narrowest type that holds a value."""
        return type_of(self.interval(value), self.wire(value).scales())

    def layer(self, value: ir.Value | None) -> HlsLayer:
        """The layer that holds a value."""
        return self.layers[self.of_value[str(value.name if value else None)]]

    def add(
        self,
        kind: str,
        node: ir.Node,
        inputs: tuple[HlsLayer, ...],
        shape: tuple[int, ...],
        order: NDArray[np.int64],
        settings: Mapping[str, Setting],
        *,
        result: FixedType | None = None,
        constants: Mapping[str, Constants] | None = None,
        macs: int = 0,
        quantised: bool = False,
    ) -> None:
        """Append the layer of a node; without a type its result gets the narrowest one."""
        value = node.outputs[0]
        name = f"l{len(self.layers)}_{identifier(str(node.name)).lower()}"[:_LONGEST_NAME].rstrip("_")
        exact = self.type(value) if result is None else result
        layer = HlsLayer(
            name=name,
            kind=kind,
            node=str(node.name),
            op=node.op_type,
            value=str(value.name),
            inputs=tuple(each.name for each in inputs),
            shape=shape,
            order=order,
            result=exact,
            settings=settings,
            constants=constants or {},
            macs=macs,
            accumulator=exact if constants else None,
            quantised=quantised,
        )
        self.layers[name] = layer
        self.of_value[str(value.name)] = name

    def change(self, layer: HlsLayer, value: ir.Value, **changes: FixedType | bool | Mapping[str, Constants]) -> None:
        """Let a layer produce a later value."""
        self.layers[layer.name] = replace(layer, value=str(value.name), **changes)  # type: ignore[arg-type]
        self.of_value[str(value.name)] = layer.name


def channels_last(shape: tuple[int, ...]) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """Shape in hls4ml, and which element of the ONNX value stands where.

    Args:
        shape: [1, C, H, W] becomes [H, W, C], [1, C, W] becomes [1, W, C]; others become a vector.
    """
    if len(shape) not in (3, 4):
        count = math.prod(shape)
        return (count,), np.arange(count)
    channels, *extents = shape[1:]
    height, width = extents if len(extents) == 2 else (1, extents[0])
    order = np.arange(math.prod(shape)).reshape(channels, height, width).transpose(1, 2, 0)
    return (height, width, channels), order.ravel()
