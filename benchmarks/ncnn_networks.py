"""Count the work in the networks of ncnn's benchmark, for `fit_latency.py`.

    python benchmarks/ncnn_networks.py FOLDER > benchmarks/ncnn_networks.csv

FOLDER holds the `.param` files of https://github.com/Tencent/ncnn, `benchmark/models/`; only those that state the shape
of every tensor are counted. The numbers that come out are facts about the networks; the files stay out of this
repository. A last layer of boxes has no shape and is left out: its share of the time is small.
"""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path

FREE = {"Input", "Split", "Noop", "MemoryData", "Flatten", "Reshape"}
CONVOLUTIONS = {"Convolution", "ConvolutionDepthWise", "DeconvolutionDepthWise", "Deconvolution"}
SHAPES = "-23330"
FP32_BYTES = 4
SMALLEST_WINOGRAD_CHANNELS = 16


@dataclass
class Work:
    """The work of a network: multiply-accumulates, those of them that ncnn does by Winograd, bytes, and kernels."""

    macs: int = 0
    winograd_macs: int = 0
    bytes: int = 0
    kernels: int = 0


@dataclass
class Layer:
    """One line of a `.param` file."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    options: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Layer:
        """Read a line: kind, name, counts, names of inputs and outputs, options."""
        kind, _, inputs, outputs, *rest = line.split()
        names, first = rest[: int(inputs) + int(outputs)], int(inputs)
        options = dict(option.split("=", 1) for option in rest[len(names) :])
        return cls(kind, names[:first], names[first:], options)

    def output_shapes(self) -> list[list[int]]:
        """Extents of each output, width first, as the file states them: rank, then three extents."""
        numbers = [int(number) for number in self.options[SHAPES].split(",")][1:]
        rows = [numbers[start : start + 4] for start in range(0, len(numbers), 4)]
        return [row[1:] for row in rows]


def count(path: Path) -> Work | None:
    """The work of a network; None if its file does not state every shape."""
    work, elements, channels = Work(), {}, {}
    lines = path.read_text().splitlines()[2:]
    for number, line in enumerate(lines, start=1):
        layer = Layer.parse(line)
        if SHAPES not in layer.options and number == len(lines):
            break
        if SHAPES not in layer.options:
            return None
        for name, shape in zip(layer.outputs, layer.output_shapes(), strict=True):
            elements[name], channels[name] = math.prod(shape), shape[2]
        if layer.kind not in FREE:
            add(work, layer, elements, channels)
    return work


def add(work: Work, layer: Layer, elements: dict[str, int], channels: dict[str, int]) -> None:
    """Add a layer's work to its network's."""
    weights, macs = 0, 0
    if layer.kind in CONVOLUTIONS:
        weights = int(layer.options["6"])
        width, height, _ = layer.output_shapes()[0]
        macs = weights * width * height
        if is_winograd(layer) and channels[layer.inputs[0]] >= SMALLEST_WINOGRAD_CHANNELS:
            work.winograd_macs += macs
    if layer.kind == "InnerProduct":
        weights = macs = int(layer.options["2"])
    touched = sum(elements[name] for name in (*layer.inputs, *layer.outputs))
    work.macs += macs
    work.bytes += FP32_BYTES * (weights + touched)
    work.kernels += 1


def is_winograd(layer: Layer) -> bool:
    """Whether it is a dense 3x3 convolution of stride 1."""
    options = layer.options
    ones = all(options.get(key, "1") == "1" for key in ("2", "3", "12", "13"))
    return layer.kind == "Convolution" and options.get("1") == "3" and options.get("11", "3") == "3" and ones


def main() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["network", "macs", "winograd_macs", "bytes", "kernels"])
    for path in sorted(Path(sys.argv[1]).glob("*.param")):
        work = count(path)
        if work is None:
            print(f"{path.name}: shapes are missing, left out", file=sys.stderr)
        else:
            writer.writerow([path.stem, work.macs, work.winograd_macs, work.bytes, work.kernels])


if __name__ == "__main__":
    main()
