"""Count the work in the networks of ncnn's benchmark, for `fit_latency.py`.

    python benchmarks/ncnn_networks.py FOLDER NAME … > benchmarks/ncnn_networks.csv

FOLDER holds the `.param` files of https://github.com/Tencent/ncnn, `benchmark/models/` (BSD 3-Clause). The numbers that
come out are facts about the networks: their work by the classes of `edgec/measure/prediction_work.py`, what ncnn does
beside it (calls of groups of channels, one by one, and boxes that are compared), and their work on a graphics processor
by the classes of `ncnn_graphics.py`. The files stay out of this repository.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

from ncnn_boxes import box_pairs
from ncnn_graphics import GraphicsCost, graphics_work, processor_work
from ncnn_shapes import Layer, Shape, output_shapes

from edgec.backends.plan import KernelKind, PlannedLayer
from edgec.measure.prediction_work import Cost, work_of

IMAGES = {"blazeface": 128, "FastestDet": 352, "mobilenet_ssd": 300, "mobilenet_ssd_int8": 300}
FREE = {"Input", "Split", "Noop", "MemoryData", "Flatten", "Reshape", "PriorBox"}
CONVOLUTIONS = {"Convolution", "ConvolutionDepthWise", "DeconvolutionDepthWise", "Deconvolution"}
MOVEMENT = {"ShuffleChannel", "Slice", "Concat", "Permute", "Interp", "Crop", "Padding"}
TRANSCENDENTAL = {"Swish", "Sigmoid", "Softmax", "GELU", "LRN"}
FP32_BYTES = 4
ACCUMULATOR_BYTES = 4
INTEGER_SUFFIX = "_int8"
LEAST_CHANNELS_OF_WINOGRAD = 16
GROUP_CALLS, BOX_PAIRS = "group_call", "box_us_per_million_pairs"
BESIDE = (GROUP_CALLS, BOX_PAIRS)


def count(path: Path) -> dict[str, float]:
    """The work of a network by class, in the units of `Cost`, `BESIDE` and `GraphicsCost`."""
    shapes: dict[str, Shape] = {}
    total = dict.fromkeys((*Cost, *BESIDE), 0.0)
    graphics = dict.fromkeys(GraphicsCost, 0.0)
    for line in path.read_text().splitlines()[2:]:
        layer = Layer.parse(line)
        inputs = [shapes[name] for name in layer.inputs]
        outputs = output_shapes(layer, inputs, IMAGES.get(path.stem, 224))
        shapes.update(zip(layer.outputs, outputs, strict=True))
        if layer.kind in FREE:
            continue
        planned = _planned(layer, inputs, outputs)
        for cost, amount in work_of(planned).items():
            total[cost] += amount
        grouped = _groups(layer) not in (1, inputs[0][2])
        total[GROUP_CALLS] += _groups(layer) * grouped
        total[BOX_PAIRS] += box_pairs(layer, inputs) / 1e6
        for part, amount in graphics_work(layer, inputs, outputs, planned, grouped=grouped).items():
            graphics[part] += amount
    if path.stem.endswith(INTEGER_SUFFIX):
        graphics = dict.fromkeys(GraphicsCost, 0.0) | processor_work({cost: total[cost] for cost in Cost})
    return total | graphics


def _groups(layer: Layer) -> int:
    return layer.option(7, 1) if "DepthWise" in layer.kind else 1


def _planned(layer: Layer, inputs: list[Shape], outputs: list[Shape]) -> PlannedLayer:
    """The layer as edgec would describe its kernel, with the bytes that ncnn moves: of int8 layers, accumulators."""
    weights = macs = depth = 0
    if layer.kind in CONVOLUTIONS:
        weights = layer.option(6)
        macs = weights * outputs[0][0] * outputs[0][1]
        depth = inputs[0][2] // _groups(layer)
    if layer.kind == "InnerProduct":
        weights = macs = layer.option(2)
        depth = math.prod(inputs[0])
    integer = layer.option(8) != 0
    element = 1 if integer else FP32_BYTES
    moved = sum(math.prod(shape) for shape in (*inputs, *outputs))
    return PlannedLayer(
        name=layer.kind,
        op=layer.kind,
        nodes=(layer.kind,),
        macs=macs,
        bytes=element * weights + (ACCUMULATOR_BYTES if integer else FP32_BYTES) * moved,
        kind=_kind(layer, inputs, outputs),
        weight_bytes=element * weights,
        depth=depth,
        elements=math.prod(outputs[0]),
        precision="int8" if integer else "float32",
    )


def _kind(layer: Layer, inputs: list[Shape], outputs: list[Shape]) -> KernelKind:
    if layer.kind in MOVEMENT:
        return KernelKind.MOVEMENT
    if layer.kind in TRANSCENDENTAL:
        return KernelKind.TRANSCENDENTAL
    if layer.kind == "InnerProduct" or (layer.kind in CONVOLUTIONS and outputs[0][:2] == (1, 1)):
        return KernelKind.VECTOR
    if layer.kind not in CONVOLUTIONS:
        return KernelKind.OTHER
    groups = _groups(layer)
    if groups > 1 and groups == inputs[0][2]:
        return KernelKind.DEPTHWISE
    if layer.pair(1, 1) == (1, 1):
        return KernelKind.POINTWISE
    narrow = min(inputs[0][2], outputs[0][2]) // groups < LEAST_CHANNELS_OF_WINOGRAD
    plain = layer.pair(1, 1) == (3, 3) and layer.pair(3, 1) == (1, 1) and not narrow
    return KernelKind.DENSE_3X3 if plain else KernelKind.DENSE


def main() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["network", *Cost, *BESIDE, *GraphicsCost])
    for name in sys.argv[2:]:
        work = count(Path(sys.argv[1]) / f"{name}.param")
        writer.writerow([name, *(f"{amount:.6g}" for amount in work.values())])


if __name__ == "__main__":
    main()
