"""What fusing pointwise, depthwise and pointwise convolutions into one kernel could gain, at most.

    python benchmarks/inverted_bottlenecks.py [--rounds 15]

A fused kernel would compute a block of MobileNetV2 in strips of rows, so that the expanded activations stay in the
cache; rows at the border of a strip are expanded twice. Here the network of one strip, of which these rows are a part,
is built as an artefact of its own and run once a strip. It reads and writes the same places over and over, which a
fused kernel would not, so its time is a lower bound. `best` is the least of it over the heights of the strips, over the
time of the whole block as we compute it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from engines import edgec, seeded_inputs
from onnx import helper, numpy_helper

_HEIGHTS = (1, 2, 4, 7, 14, 28)
_RUNS = 10


@dataclass(frozen=True)
class Block:
    """An inverted bottleneck: `inputs` channels, expanded, filtered with `stride`, and narrowed to `outputs`."""

    inputs: int
    expanded: int
    outputs: int
    size: int
    stride: int

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.size // self.stride


BLOCKS = (
    Block(16, 96, 24, 112, 2),
    Block(24, 144, 24, 56, 1),
    Block(32, 192, 32, 28, 1),
    Block(64, 384, 64, 14, 1),
    Block(96, 576, 96, 14, 1),
)


def network(block: Block, rows: int) -> onnx.ModelProto:
    """The block for some rows of its output, its borders given by the input; channels last, as we compute."""
    generator = np.random.default_rng(0)
    shapes = {
        "expand": (block.expanded, block.inputs, 1, 1),
        "filter": (block.expanded, 1, 3, 3),
        "narrow": (block.outputs, block.expanded, 1, 1),
    }
    weights = [
        numpy_helper.from_array((generator.standard_normal(shape) * 0.1).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    bounds = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 0.0), ("high", 6.0))]
    filtering = {"group": block.expanded, "strides": [block.stride] * 2, "pads": [0, 1, 0, 1]}
    nodes = [
        helper.make_node("Transpose", ["x"], ["x.first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x.first", "expand"], ["a"]),
        helper.make_node("Clip", ["a", "low", "high"], ["a.clipped"]),
        helper.make_node("Conv", ["a.clipped", "filter"], ["b"], **filtering),
        helper.make_node("Clip", ["b", "low", "high"], ["b.clipped"]),
        helper.make_node("Conv", ["b.clipped", "narrow"], ["c"]),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    taken = (rows - 1) * block.stride + 3
    given = helper.make_tensor_value_info("x", 1, [1, taken, block.size, block.inputs])
    made = helper.make_tensor_value_info("y", 1, [1, rows, block.rows, block.outputs])
    graph = helper.make_graph(nodes, "block", [given], [made], [*weights, *bounds])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def runs_of(block: Block, folder: Path) -> dict[int, Callable[[], object]]:
    """Artefacts by the rows that they make at a time, each of one thread."""
    runs: dict[int, Callable[[], object]] = {}
    for rows in [height for height in _HEIGHTS if block.rows % height == 0 and height < block.rows] + [block.rows]:
        place = folder / f"{block.expanded}-{block.size}-{rows}"
        place.mkdir()
        onnx.save(network(block, rows), place / "block.onnx")
        runs[rows] = edgec(place / "block.onnx", 1, seeded_inputs(place / "block.onnx", []), place)
    return runs


def microseconds(runs: dict[int, Callable[[], object]], block: Block, rounds: int) -> dict[int, float]:
    """Median time of the whole block by the rows made at a time; they take turns."""
    samples: dict[int, list[float]] = {rows: [] for rows in runs}
    for _ in range(rounds):
        for rows, run in runs.items():
            run()
            started = time.perf_counter()
            for _ in range(_RUNS * block.rows // rows):
                run()
            samples[rows].append((time.perf_counter() - started) / _RUNS * 1e6)
    return {rows: statistics.median(taken) for rows, taken in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="blocks-") as scratch:
        prepared = [(block, runs_of(block, Path(scratch))) for block in BLOCKS]
        print("| block | whole, us | in strips of rows, us | best |\n|---|---:|---|---:|")
        for block, runs in prepared:
            times = microseconds(runs, block, rounds)
            whole = times.pop(block.rows)
            strips = ", ".join(f"{rows}: {taken:.0f}" for rows, taken in times.items())
            title = f"{block.inputs}→{block.expanded}→{block.outputs} @{block.size}, stride {block.stride}"
            print(f"| {title} | {whole:.0f} | {strips} | {min(times.values()) / whole:.2f} |")


if __name__ == "__main__":
    main()
