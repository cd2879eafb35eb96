"""Vectors for the vendor's own simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgec.backends.hls4ml.network import HlsNetwork
from edgec.backends.rtl.integer_graph import Input, IntegerGraph

SEED = 1
_VECTORS = 64


def testbench(network: HlsNetwork) -> dict[str, str]:
    """Inputs and the outputs of the integer reference, one inference a line, elements as they lie in the hardware."""
    graph = network.graph
    integers = _random_inputs(graph)
    values = graph.evaluate(integers)
    given = [x * border.scale for x, border in zip(integers, graph.inputs, strict=True)]
    expected = [values[border.value] * border.scale for border in graph.outputs]
    return {
        "tb_input_features.dat": _lines([x[:, layer.order] for x, layer in zip(given, network.inputs, strict=True)]),
        "tb_output_predictions.dat": _lines(
            [y[:, layer.order] for y, layer in zip(expected, network.outputs, strict=True)]
        ),
    }


def _random_inputs(graph: IntegerGraph) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(SEED)
    sources = [graph.operations[border.value] for border in graph.inputs]
    return [
        random.integers(source.low, source.high + 1, (_VECTORS, source.size))
        for source in sources
        if isinstance(source, Input)
    ]


def _lines(arrays: list[NDArray[np.float64]]) -> str:
    joined = np.concatenate(arrays, axis=1)
    return "".join(" ".join(f"{number:.17g}" for number in row) + "\n" for row in joined)
