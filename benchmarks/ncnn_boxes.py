"""Pairs of boxes that non-maximum suppression compares at the end of a network of ncnn's benchmark.

The benchmark runs without weights: all scores are zero before their sigmoid. A threshold below what the layer makes of
that lets every box through, and each is compared to all that were picked before it, one after the other on one core.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from ncnn_shapes import Layer, Shape
from numpy.typing import NDArray

BOXES = "Yolov3DetectionOutput"
CONFIDENCE_OF_ZEROS = 1 / 3
"""1 / (1 + exp(0) (1 + exp(0))): `src/layer/yolov3detectionoutput.cpp`."""
OVERLAP = 0.45
THRESHOLD, ANCHORS, MASKS, SCALES = "2", "-23304", "-23305", "-23306"


def box_pairs(layer: Layer, inputs: list[Shape]) -> int:
    """Comparisons of one inference."""
    if layer.kind != BOXES or float(layer.options[THRESHOLD]) > CONFIDENCE_OF_ZEROS:
        return 0
    boxes = _boxes(layer, inputs)
    picked: list[int] = []
    pairs = 0
    for at in range(len(boxes)):
        pairs += len(picked)
        if not (_overlaps(boxes[at], boxes[picked]) > OVERLAP).any():
            picked.append(at)
    return pairs


def _boxes(layer: Layer, inputs: list[Shape]) -> NDArray[np.float64]:
    """Left, top, right and bottom of every box as shares of the image."""
    anchors = np.reshape(_numbers(layer, ANCHORS), (-1, 2))
    # Integers stand in the file as the bit pattern of a float when they are masks.
    masks = np.reshape([_mask(number) for number in layer.options[MASKS].split(",")[1:]], (len(inputs), -1))
    made = []
    for (width, height, _), chosen, scale in zip(inputs, masks, _numbers(layer, SCALES), strict=True):
        for anchor, y, x in product(anchors[chosen], range(height), range(width)):
            center = np.array([(x + 0.5) / width, (y + 0.5) / height])
            half = anchor / (scale * np.array([width, height])) / 2
            made.append(np.concatenate([center - half, center + half]))
    return np.array(made)


def _numbers(layer: Layer, option: str) -> list[float]:
    return [float(number) for number in layer.options[option].split(",")[1:]]


def _mask(number: str) -> int:
    bits = np.array([int(number)], np.int32)
    return int(bits.view(np.float32)[0]) if int(number) >= 1 << 20 else int(number)


def _overlaps(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box with each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = float(np.prod(box[2:] - box[:2])) + areas - common
    return np.asarray(common / union)
