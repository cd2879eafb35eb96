"""Weights as integers, and the biases that make up for what rounding does to the mean of a layer's output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.graph.quantization import QuantizedWeights, Quantizer
from edgec.passes.quantize_layers import Layer

_SHRINKAGE = np.linspace(1.0, 0.3, 36)


_LARGEST_BIAS = 2.0**29
"""In steps: leaves room for the zero point of the input in 32 bits."""


def weights_quantizer(
    layer: Layer, bits: int, input_scale: float, *, per_channel: bool, power_of_two: bool
) -> Quantizer:
    """Symmetric, from the largest weight (8 bits and more), or else with the least squared error of the weights.

    Channels whose weights are tiny against their bias get a larger scale, so that the bias, in steps of the scale times
    that of the input, fits 32 bits.
    """
    chosen = _fitted(layer, bits, per_channel=per_channel, power_of_two=power_of_two)
    if layer.bias is None:
        return chosen
    largest = np.abs(layer.bias) if per_channel else np.abs(layer.bias).max()
    least = np.asarray(largest, np.float64) / (_LARGEST_BIAS * input_scale)
    if power_of_two:
        least = np.exp2(np.ceil(np.log2(np.maximum(least, 2.0**-100))))
    return replace(chosen, scale=np.maximum(chosen.scale, least).astype(np.float32))


def _fitted(layer: Layer, bits: int, *, per_channel: bool, power_of_two: bool) -> Quantizer:
    axes = tuple(axis for axis in range(layer.weights.ndim) if not per_channel or axis != layer.axis)
    axis = layer.axis if per_channel else None
    largest = np.abs(layer.weights).max(axis=axes)
    if bits >= 8:
        return Quantizer.symmetric(largest, bits=bits, axis=axis, power_of_two=power_of_two)
    if bits == 1:
        # The mean magnitude has the least squared error: Rastegari et al., XNOR-Net, 2016
        return Quantizer.symmetric(np.abs(layer.weights).mean(axis=axes), bits=1, axis=axis, power_of_two=power_of_two)
    best, least = np.asarray(largest), np.full(np.shape(largest), np.inf)
    for share in _SHRINKAGE:
        quantizer = Quantizer.symmetric(largest * share, bits=bits, axis=axis, power_of_two=power_of_two)
        error = ((quantizer.round_trip(layer.weights) - layer.weights) ** 2).sum(axis=axes)
        best, least = np.where(error < least, largest * share, best), np.minimum(error, least)
    return Quantizer.symmetric(best, bits=bits, axis=axis, power_of_two=power_of_two)


def corrected_bias(layer: Layer, weights: QuantizedWeights, means: np.ndarray) -> np.ndarray | None:
    """The bias that keeps the mean of each output channel where it was; None where the operator takes none.

    The change of the weights times the mean input: Nagel et al., Data-Free Quantization Through Weight Equalization and
    Bias Correction, 2019, section 4.2, with means that were observed, as if windows never met the border.

    Args:
        layer: the layer.
        weights: its weights as integers.
        means: of the input, for each channel.
    """
    if not layer.takes_bias:
        return None
    lost = layer.weights.astype(np.float64) - weights.quantizer.dequantize(weights.integers)
    if layer.node.op_type == "Conv":
        outputs, inputs = lost.shape[:2]
        by_channel = lost.reshape(layer.groups, outputs // layer.groups, inputs, -1).sum(axis=-1)
        shift = np.einsum("goi,gi->go", by_channel, means.reshape(layer.groups, inputs)).reshape(-1)
    else:
        shift = (lost if layer.axis == 0 else lost.T) @ means
    old = np.zeros(shift.shape) if layer.bias is None else layer.bias.astype(np.float64)
    corrected: np.ndarray = (np.broadcast_to(old, shift.shape) + shift).astype(np.float32)
    return corrected
