"""What a network costs once some of its channels are gone: multiply-accumulates, and time on a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.core.target import Target
from edgec.core.target_gpu import Gpu
from edgec.graph.channels import ChannelMap
from edgec.graph.channels_trace import Contraction, Role
from edgec.graph.cost import model_size
from edgec.graph.macs import UnknownCostError, macs_of
from edgec.graph.shapes import static_shape

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class KernelRate:
    """How fast one core of a target computes.

    Attributes:
        lanes: fp32 numbers in a vector register: output channels are computed in multiples of it.
        macs_per_second: multiply-accumulates, all lanes in use.
        bytes_per_second: of activations and weights.
        basis: what the numbers rest on.
        call_seconds: time of a kernel call beyond its work; matters where nodes are added or go.
    """

    lanes: int
    macs_per_second: float
    bytes_per_second: float
    basis: str
    call_seconds: float = 0.0

    @classmethod
    def of(cls, target: Target | None) -> KernelRate:
        """From the datasheet: the fitted coefficients where there are some, else its peaks; without a target, 1:1."""
        if target is None:
            return cls(1, 1e9, 1e9, "no target: one byte counts as one multiply-accumulate")
        if target.gpu is not None:
            return cls._of_gpu(target, target.gpu)
        core, fitted = target.core, target.prediction
        peak = core.clock_mhz.value * 1e6 * core.fma_per_cycle.value
        lanes = max(1, int(core.vector_bits.value) // 32)
        if fitted is None:
            basis = f"peak and bandwidth of the datasheet of {target.name}"
            return cls(lanes, peak, target.memory.bandwidth_gbps.value * 1e9, basis)
        rates = fitted.rates[0]
        # Most of the bytes of a pruned layer come from memory: weights, and activations that a kernel leaves behind.
        bandwidth = 1e12 / rates.streamed_us_per_mb.value
        basis = f"the latency model of {target.name}"
        call_seconds = rates.kernel_us.value * 1e-6
        return cls(lanes, 1e12 / rates.pointwise_us_per_mmac.value, bandwidth, basis, call_seconds)

    @classmethod
    def _of_gpu(cls, target: Target, gpu: Gpu) -> KernelRate:
        peak = gpu.compute_units.value * gpu.fma_per_cycle.value * gpu.clock_mhz.value * 1e6
        bandwidth = target.memory.bandwidth_gbps.value * 1e9
        basis = f"peak and bandwidth of the datasheet of {target.name}"
        return cls(int(gpu.lanes_in_step.value), peak, bandwidth, basis, gpu.launch_us.value * 1e-6)

    def kernel_seconds(self, macs: float, outputs: int, moved: float) -> float:
        """Time of one kernel.

        Args:
            macs: its multiply-accumulates.
            outputs: output channels that are computed together (of one group), which fill vectors.
            moved: bytes of activations and weights.
        """
        full = -(-outputs // self.lanes) * self.lanes / max(outputs, 1)
        return macs * full / self.macs_per_second + moved / self.bytes_per_second + self.call_seconds


@dataclass(frozen=True, eq=False)
class _Layer:
    """One contraction: its cost, and the classes that the cost is proportional to.

    The first of the factors, and the vectors marked so of what it moves, are what the layer reads.
    """

    node: ir.Node
    macs: int
    factors: tuple[np.ndarray, ...]
    outputs: np.ndarray | None
    moved: tuple[tuple[int, tuple[tuple[np.ndarray, bool], ...]], ...]


class PrunedCost:
    """The cost of a model as a function of the classes that are kept.

    Only nodes that multiply and accumulate are timed: the work of the others is fused into them or proportional to it.
    The time of a layer is that of its multiply-accumulates, the output channels rounded up to full vectors, plus that
    of its activations and weights: the terms add up, as in the latency model of the report.

    Args:
        model: the model that was traced.
        channels: its channels.
        rate: of the target.
    """

    def __init__(self, model: ir.Model, channels: ChannelMap, rate: KernelRate) -> None:
        self._rate = rate
        self._layers = [_layer(channels, contraction) for contraction in channels.contractions]
        self.total_macs = model_size(model).macs
        self._untouched = self.total_macs - sum(layer.macs for layer in self._layers)
        touching: dict[int, list[int]] = {}
        for number, layer in enumerate(self._layers):
            vectors = [*layer.factors, *(vector for _, vectors in layer.moved for vector, _ in vectors)]
            for member in np.unique(np.concatenate(vectors)):
                touching.setdefault(int(member), []).append(number)
        self._touching = touching

    def macs(self, kept: np.ndarray, read: Mapping[ir.Node, np.ndarray] | None = None) -> int:
        """Multiply-accumulates of the whole model.

        Args:
            kept: for each class whether it stays, (classes,), bool.
            read: for layers that read less than what is kept, whether they read each class, (classes,), bool.
        """
        masks = read or {}
        return self._untouched + sum(
            self._layer_macs(layer, kept, masks.get(layer.node, kept)) for layer in self._layers
        )

    def seconds(
        self, kept: np.ndarray, layers: list[int] | None = None, read: Mapping[ir.Node, np.ndarray] | None = None
    ) -> float:
        """Time of all layers on one core, or of the given ones; arguments as for `macs`."""
        chosen = self._layers if layers is None else [self._layers[number] for number in layers]
        masks = read or {}
        return sum(self._layer_seconds(layer, kept, masks.get(layer.node, kept)) for layer in chosen)

    def copy_seconds(self, copied: int, calls: int) -> float:
        """Time of copying a number of bytes with a number of kernels: each byte is read and written."""
        return 2 * copied / self._rate.bytes_per_second + calls * self._rate.call_seconds

    def layers_of(self, classes: np.ndarray) -> list[int]:
        """Numbers of the layers whose cost depends on one of the classes, ascending."""
        return sorted({number for member in classes for number in self._touching.get(int(member), ())})

    def _layer_macs(self, layer: _Layer, kept: np.ndarray, read: np.ndarray) -> int:
        masks = [read, *[kept] * len(layer.factors)]
        shares = (_share(vector, mask) for vector, mask in zip(layer.factors, masks, strict=False))
        return round(layer.macs * math.prod(shares))

    def _layer_seconds(self, layer: _Layer, kept: np.ndarray, read: np.ndarray) -> float:
        macs = float(self._layer_macs(layer, kept, read))
        if layer.outputs is not None:
            left = int(kept[layer.outputs].sum())
            macs *= -(-left // self._rate.lanes) * self._rate.lanes / max(left, 1)
        moved = sum(
            size * math.prod(_share(vector, read if is_read else kept) for vector, is_read in vectors)
            for size, vectors in layer.moved
        )
        return macs / self._rate.macs_per_second + moved / self._rate.bytes_per_second


def _share(vector: np.ndarray, kept: np.ndarray) -> float:
    return float(np.count_nonzero(kept[vector])) / vector.size


def _layer(channels: ChannelMap, contraction: Contraction) -> _Layer:
    node, classes = contraction.node, channels.classes
    try:
        macs = macs_of(node)
    except UnknownCostError:
        macs = 0
    moved: list[tuple[int, tuple[tuple[np.ndarray, bool], ...]]] = []
    for value in (*node.inputs, *node.outputs):
        if value is None:
            continue
        if value in channels.values:
            size = _FLOAT_BYTES * math.prod(static_shape(value) or ())
            moved.append((size, ((classes.of(channels.values[value].ravel()), value is node.inputs[0]),)))
        else:
            axes = [a for a in channels.constant_axes if a.node is node and node.inputs[a.input] is value]
            tensor = ir.convenience.get_const_tensor(value)
            vectors = tuple((classes.of(a.channels), a.role is Role.CONSUMES) for a in axes)
            moved.append((0 if tensor is None else tensor.nbytes, vectors))
    made = [a for a in channels.constant_axes if a.node is node and a.role is Role.PRODUCES]
    outputs = classes.of(channels.values[node.outputs[0]].ravel()) if made else None
    return _Layer(node, macs, tuple(classes.of(f) for f in contraction.factors), outputs, tuple(moved))
