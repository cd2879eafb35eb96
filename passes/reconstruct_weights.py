"""Rounding of weights by what samples need: GPTQ.

Weights are rounded one input after another, and those not rounded yet make up for the error, by the second moments of
the inputs: Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, 2023,
algorithm 1, with inputs in the order of falling second moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.core.tensor import Sample
from edgec.graph.quantization import Quantizer
from edgec.passes.calibration import run_with_inner_values
from edgec.passes.quantize_layers import Layer

_LARGEST_MOMENTS = 2**26
"""Elements of second moments held at a time: half a gigabyte."""

_DAMPING = 0.01
_BLOCK = 128


def reconstruct(
    model: ir.Model, layers: Sequence[Layer], quantizers: Mapping[str, Quantizer], samples: Sequence[Sample]
) -> dict[str, np.ndarray]:
    """Weights as integers by the name of the layer.

    A layer is left out if its padding is not written out in numbers.

    Args:
        model: the network, real-valued.
        layers: to round.
        quantizers: of their weights.
        samples: to observe inputs on.
    """
    rounded: dict[str, np.ndarray] = {}
    usable = [layer for layer in layers if layer.node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"]
    for batch in _batches(usable):
        moments = _second_moments(model, batch, samples)
        for layer in batch:
            quantizer = quantizers[layer.name]
            scale = np.broadcast_to(quantizer.scale, layer.matrices.shape[0] * layer.matrices.shape[1])
            scales = scale.reshape(layer.matrices.shape[:2])
            groups = [
                _round_matrix(matrix, moment, own, quantizer)
                for matrix, moment, own in zip(layer.matrices, moments[layer.name], scales, strict=True)
            ]
            rounded[layer.name] = layer.from_matrices(np.stack(groups).astype(quantizer.dtype))
    return rounded


def _batches(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Layers whose second moments fit the memory together."""
    batch: list[Layer] = []
    size = 0
    for layer in layers:
        own = layer.matrices.shape[0] * layer.matrices.shape[2] ** 2
        if batch and size + own > _LARGEST_MOMENTS:
            yield batch
            batch, size = [], 0
        batch.append(layer)
        size += own
    if batch:
        yield batch


def _second_moments(model: ir.Model, layers: Sequence[Layer], samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Sum of x·xᵀ over all places of all samples: (groups, inputs, inputs), float64."""
    moments = {layer.name: np.zeros((layer.groups, *(layer.matrices.shape[2],) * 2)) for layer in layers}
    names = list(dict.fromkeys(str(layer.read.name) for layer in layers))

    def see(values: Mapping[str, np.ndarray]) -> None:
        for layer in layers:
            for group, rows in enumerate(columns(layer, values[str(layer.read.name)])):
                moments[layer.name][group] += rows.T @ rows

    run_with_inner_values(model, names, samples, see)
    return moments


def columns(layer: Layer, x: np.ndarray, every: int = 1) -> Iterator[np.ndarray]:
    """For each group, what a row of the weights is multiplied with: (places, inputs and places of the window).

    Args:
        layer: with padding written out in numbers.
        x: what it reads.
        every: of a Conv, how many rows (places on the first spatial axis of the output) each one taken stands for.
    """
    if layer.node.op_type != "Conv":
        yield x.reshape(-1, x.shape[-1])
        return
    attributes, rank = layer.node.attributes, x.ndim - 2
    window = layer.weights.shape[2:]
    strides = attributes.get_ints("strides", None) or [1] * rank
    dilations = attributes.get_ints("dilations", None) or [1] * rank
    pads = attributes.get_ints("pads", None) or [0] * (2 * rank)
    padded = np.pad(x, [(0, 0), (0, 0), *((pads[axis], pads[axis + rank]) for axis in range(rank))])
    reach = [(extent - 1) * dilation + 1 for extent, dilation in zip(window, dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + rank)))
    chosen = [slice(None, None, stride) for stride in strides]
    chosen[0] = slice(None, None, strides[0] * every)
    taps = tuple(slice(None, None, dilation) for dilation in dilations)
    views = views[(slice(None), slice(None), *chosen, *taps)]
    channels = x.shape[1] // layer.groups
    for group in range(layer.groups):
        own = np.moveaxis(views[:, group * channels : (group + 1) * channels], 1, 1 + rank)
        yield own.reshape(-1, channels * int(np.prod(window)))


def _round_matrix(weights: np.ndarray, moment: np.ndarray, scales: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """Integers for one matrix (outputs, inputs), with a scale for each output."""
    inputs = weights.shape[1]
    order = np.argsort(-np.diag(moment), kind="stable")
    ordered = moment[np.ix_(order, order)]
    damping = _DAMPING * float(np.mean(np.diag(ordered))) or 1.0
    inverse = np.linalg.inv(ordered + damping * np.eye(inputs))
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left = weights[:, order].astype(np.float64)
    integers = np.zeros(left.shape, np.int64)
    for start in range(0, inputs, _BLOCK):
        end = min(start + _BLOCK, inputs)
        errors = np.zeros((left.shape[0], end - start))
        for place in range(start, end):
            column = np.rint(left[:, place] / scales)
            integers[:, place] = np.clip(column, quantizer.low, quantizer.high)
            error = (left[:, place] - integers[:, place] * scales) / upper[place, place]
            left[:, place:end] -= error[:, None] * upper[place, place:end]
            errors[:, place - start] = error
        left[:, end:] -= errors @ upper[start:end, end:]
    restored = np.empty_like(integers)
    restored[:, order] = integers
    return restored
