"""The constants of the choice between direct sums and minimal filtering (Winograd), measured on this machine.

    python benchmarks/winograd_constants.py [--rounds 15] [--cold]

Layers of 3 x 3 taps are computed directly and by both sets of matrices, in the strips that the cost model likes best,
one thread each, in turns; with `--cold` their weights and outputs are out of the caches, as the weights of a large
network are. A multiply-add takes what it takes in the direct sum of the layer. What a filtered layer takes beyond its
products and its memory, over the steps of its transforms, is the time of a step; the constant is the median over the
layers of whose predicted time transforms are at least a quarter. The margin is the share of the direct time below which
filtering must be predicted; those are given with which the layers take least, each as it is then computed, as a
geometric mean over the times of their best ways. Filtering that takes too much memory for its gain is no way.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from kernels import OurLayer, convolution, host_core, model_of

from edgec.backends.tvm.implementation import Algorithm, Choices
from edgec.backends.tvm.register_tile import choose_tile
from edgec.backends.tvm.winograd import F2, F4, WINDOW, Filtering
from edgec.backends.tvm.winograd_choice import (
    MARGIN,
    TRANSFORM_STEP,
    FilteringChoice,
    implementation_of,
    possible_filterings,
    with_weights_read,
)

_SHAPES = (
    *((16, 112, 32), (32, 112, 32), (16, 55, 64), (32, 56, 32), (64, 56, 64), (32, 27, 128), (64, 28, 64)),
    *((128, 28, 128), (48, 13, 192), (128, 14, 128), (256, 14, 256), (64, 13, 256), (512, 7, 512), (96, 7, 96)),
)
"""Input channels, size and output channels."""
_SHARE = 0.25
_MARGINS = tuple(step / 100 for step in range(40, 121))


@dataclass(frozen=True)
class Measured:
    """A layer computed directly and by some matrices: seconds, and what the model counts in vector multiply-adds."""

    name: str
    matrices: str
    direct_seconds: float
    seconds: float
    direct_cost: float
    cost_without_steps: float
    steps: float
    memory_price: float

    @property
    def step(self) -> float:
        """Time of a transform's step in multiply-adds of the direct sum."""
        multiply_add = self.direct_seconds / self.direct_cost
        return (self.seconds / multiply_add - self.cost_without_steps) / self.steps

    @property
    def tells(self) -> bool:
        """Whether enough of the predicted time is that of transforms."""
        return TRANSFORM_STEP * self.steps >= _SHARE * self.predicted(TRANSFORM_STEP) * self.direct_cost

    def predicted(self, step: float) -> float:
        """Time of the filtered layer over that of the direct sum, by the model."""
        return (self.cost_without_steps + step * self.steps) / self.direct_cost

    def worth_its_memory(self, step: float) -> bool:
        """Whether it saves what its bytes must save, by the model."""
        return self.predicted(step) * self.direct_cost + self.memory_price < self.direct_cost


def best_of(filtering: Filtering, inputs: int, size: int, outputs: int, step: float) -> FilteringChoice:
    """What the model takes of the ways by some matrices, with that time for a step."""
    ways = possible_filterings(filtering, (1, size, size), inputs, outputs, host_core(), step)
    return min(ways, key=lambda way: way.price)


def cost_of(choice: FilteringChoice, inputs: int, size: int, outputs: int, step: float) -> float:
    """The cost of the same strips with another time for a step."""
    ways = possible_filterings(choice.strips.filtering, (1, size, size), inputs, outputs, host_core(), step)
    return next(way.cost for way in ways if way.strips == choice.strips)


def measured(inputs: int, size: int, outputs: int, rounds: int, *, cold: bool) -> list[Measured]:
    """Both ways of filtering a layer."""
    layer = convolution(f"{inputs}->{outputs} @{size}", inputs, size, outputs, WINDOW)
    model, core = model_of(layer), host_core()
    given = OurLayer(model, layer.op).choices[0]
    tiled = choose_tile((1, size, size), outputs, core)
    direct = given.implementation.model_copy(
        update={
            "algorithm": Algorithm.DIRECT,
            "row_axis": tiled.row_axis,
            "rows": tiled.tile.rows,
            "vectors": tiled.tile.vectors,
            "lanes": tiled.tile.lanes,
            "strip_height": 0,
        }
    )
    ways = {name: best_of(matrices, inputs, size, outputs, TRANSFORM_STEP) for name, matrices in _MATRICES.items()}
    wanted = {"direct": direct, **{name: implementation_of(way) for name, way in ways.items()}}
    layers = {}
    for name, implementation in wanted.items():
        choices: Choices = {given.contraction: implementation}
        layers[name] = OurLayer(model, layer.op, choices, cold=cold)
    times: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(rounds):
        for name, own in layers.items():
            times[name] += own.seconds()
    direct_cost = with_weights_read(tiled.cost * inputs * WINDOW**2, inputs, outputs, core)
    found = []
    for name, way in ways.items():
        without = cost_of(way, inputs, size, outputs, 0.0)
        steps = cost_of(way, inputs, size, outputs, 1.0) - without
        taken = min(times["direct"]), min(times[name])
        found.append(Measured(layer.name, name, *taken, direct_cost, without, steps, way.price - way.cost))
    return found


_MATRICES = {"F(2 x 2)": F2, "F(4 x 4)": F4}


def loss(layers: Sequence[Sequence[Measured]], step: float, margin: float) -> float:
    """Geometric mean of the times as chosen over those of the best way of each layer."""
    ratios = []
    for ways in layers:
        possible = [way for way in ways if way.worth_its_memory(step)]
        taken = min(possible, key=lambda way: way.predicted(step) + way.memory_price / way.direct_cost, default=None)
        direct = ways[0].direct_seconds
        chosen = direct if taken is None or taken.predicted(step) >= margin else taken.seconds
        ratios.append(chosen / min([direct, *(way.seconds for way in possible)]))
    return float(np.exp(np.mean(np.log(ratios))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cold", action="store_true", help="weights and outputs are out of the caches")
    given = parser.parse_args()
    layers = [measured(*shape, given.rounds, cold=given.cold) for shape in _SHAPES]
    print(
        "| layer | matrices | direct, us | filtered, us | of direct | predicted | step |\n|---|---|--:|--:|--:|--:|--:|"
    )
    for way in (way for ways in layers for way in ways):
        ratio, predicted = way.seconds / way.direct_seconds, way.predicted(TRANSFORM_STEP)
        shown = f"{way.step:.1f}" if way.tells else ""
        times = f"{way.direct_seconds * 1e6:.1f} | {way.seconds * 1e6:.1f}"
        print(f"| {way.name} | {way.matrices} | {times} | {ratio:.2f} | {predicted:.2f} | {shown} |")
    step = statistics.median(way.step for ways in layers for way in ways if way.tells)
    for label, value in (("as it is", TRANSFORM_STEP), ("measured", step)):
        losses = {margin: loss(layers, value, margin) for margin in _MARGINS}
        least = min(losses.values())
        good = [margin for margin, found in losses.items() if math.isclose(found, least)]
        at = min(losses, key=lambda margin: abs(margin - MARGIN))
        print(f"step {label}: {value:.2f}; best margins {good[0]:.2f} to {good[-1]:.2f}, {least:.4f} of the best ways")
        print(f"  with a margin of {MARGIN}: {losses[at]:.4f}")


if __name__ == "__main__":
    main()
