"""Plans of quantization for any choice of layers, from one look at what the network computes on samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import onnx_ir as ir

from edgec.core.target import Target
from edgec.core.tensor import Sample
from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.passes.calibration import Observed, observe
from edgec.passes.calibration_ranges import Method, chosen_range
from edgec.passes.quantize_cost import is_arm64
from edgec.passes.quantize_layers import Layer, shared_ranges
from edgec.passes.quantize_weights import corrected_bias, weights_quantizer
from edgec.passes.reconstruct_weights import reconstruct


class Signedness(StrEnum):
    """The integers of activations; centred ones have no zero point: unsigned where nothing is negative."""

    TARGET = "target"
    UNSIGNED = "unsigned"
    SIGNED = "signed"
    SYMMETRIC = "symmetric"
    CENTRED = "centred"

    def for_target(self, target: Target | None) -> Signedness:
        """What a target takes without a shift: centred in fixed-point types, signed on 64-bit Arm, else unsigned."""
        if self is not Signedness.TARGET:
            return self
        if target is not None and target.backend == "hls4ml":
            return Signedness.CENTRED
        if target is None or target.backend != "tvm":
            return Signedness.UNSIGNED
        return Signedness.SIGNED if is_arm64(target) else Signedness.UNSIGNED


@dataclass(frozen=True)
class Scheme:
    """How activations are quantized.

    Attributes:
        method: how their ranges are chosen.
        percentile: for the method of this name.
        bits: of the integers.
        signedness: of the integers; not `TARGET`.
        power_of_two: whether scales are powers of two.
    """

    method: Method
    percentile: float
    bits: int
    signedness: Signedness
    power_of_two: bool

    def quantizer(self, observed: Sequence[Observed]) -> Quantizer:
        """One quantizer for values that share it."""
        ranges = [chosen_range(one, self.method, bits=self.bits, percentile=self.percentile) for one in observed]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        if self.signedness is Signedness.SYMMETRIC or (self.signedness is Signedness.CENTRED and low < 0):
            largest = max(-low, high)
            return Quantizer.symmetric(largest, bits=self.bits, narrow=False, power_of_two=self.power_of_two)
        signed = self.signedness is Signedness.SIGNED
        return Quantizer.asymmetric(low, high, bits=self.bits, signed=signed, power_of_two=self.power_of_two)


@dataclass(frozen=True)
class WeightScheme:
    """How the weights of one layer are quantized.

    Attributes:
        bits: of the integers.
        per_channel: whether each output channel has a scale.
        power_of_two: whether scales are powers of two.
        corrected: whether the bias makes up for the shift of the mean.
        reconstructed: whether they are rounded by what the samples need.
    """

    bits: int
    per_channel: bool
    power_of_two: bool
    corrected: bool
    reconstructed: bool


class Planner:
    """Makes plans that quantize some of the layers.

    Args:
        model: with static shapes.
        layers: that may be quantized.
        scheme: of the activations.
        weight_schemes: by the name of the layer.
        samples: to observe activations on.

    Raises:
        EdgecError: EC0208 where ONNX Runtime cannot run the model.
    """

    def __init__(
        self,
        model: ir.Model,
        layers: Sequence[Layer],
        scheme: Scheme,
        weight_schemes: Mapping[str, WeightScheme],
        samples: Sequence[Sample],
    ) -> None:
        self.scheme = scheme
        self._layers = {layer.name: layer for layer in layers}
        axes = {str(value.name): 1 for group in shared_ranges(layers) for value in group}
        axes.update({str(layer.read.name): layer.input_axis for layer in layers})
        self._observed = observe(model, axes, samples, histograms=scheme.method is not Method.MIN_MAX)
        self._weights = self._quantize_weights(model, weight_schemes, samples)
        self._quantizers: dict[frozenset[str], Quantizer] = {}

    def plan(self, names: Sequence[str]) -> QuantizationPlan:
        """The plan that quantizes the layers of these names."""
        layers = [self._layers[name] for name in names]
        values: dict[str, Quantizer] = {}
        for group in shared_ranges(layers):
            members = frozenset(str(value.name) for value in group)
            if members not in self._quantizers:
                self._quantizers[members] = self.scheme.quantizer([self._observed[name] for name in sorted(members)])
            values.update(dict.fromkeys(sorted(members), self._quantizers[members]))
        return QuantizationPlan(values, {name: self._weights[name] for name in names})

    def _quantize_weights(
        self, model: ir.Model, schemes: Mapping[str, WeightScheme], samples: Sequence[Sample]
    ) -> dict[str, QuantizedWeights]:
        quantizers = {
            name: weights_quantizer(
                layer,
                schemes[name].bits,
                float(self.scheme.quantizer([self._observed[str(layer.read.name)]]).scale),
                per_channel=schemes[name].per_channel,
                power_of_two=schemes[name].power_of_two,
            )
            for name, layer in self._layers.items()
        }
        wanted = [layer for name, layer in self._layers.items() if schemes[name].reconstructed]
        integers: dict[str, np.ndarray] = reconstruct(model, wanted, quantizers, samples)
        made = {}
        for name, layer in self._layers.items():
            rounded = integers.get(name)
            if rounded is None:
                rounded = quantizers[name].quantize(layer.weights)
            weights = QuantizedWeights(quantizers[name], rounded)
            if schemes[name].corrected:
                means = self._observed[str(layer.read.name)].means
                weights = replace(weights, bias=corrected_bias(layer, weights, means))
            made[name] = weights
        return made
