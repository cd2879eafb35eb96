"""What each layer has to compute, as far as the size of the circuit depends on it: `reports/work.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork

FILE_NAME = "reports/work.json"
_UNSEEN = ("InputLayer", "Reshape")


class LayerWork(BaseModel):
    """One layer.

    Attributes:
        name: the ONNX node.
        products: different products by a constant; 0 where nothing is multiplied.
        digits: nonzero digits of all constants in canonical signed form.
        terms: products that one sum has.
        places: how often the same products are computed an inference, one place of the picture after the other.
        input_bits: width of what is read.
        weight_bits: width of the constants.
        results: elements of the result.
        result_bits: width of the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    products: int
    digits: int
    terms: int
    places: int
    input_bits: int
    weight_bits: int
    results: int
    result_bits: int


WORK = TypeAdapter(tuple[LayerWork, ...])


def work_of(network: HlsNetwork) -> bytes:
    """The work of every layer that takes cells, as JSON."""
    widths = {layer.name: layer.result.width for layer in network.layers}
    rows = tuple(_row(layer, widths) for layer in network.layers if layer.kind not in _UNSEEN)
    return WORK.dump_json(rows, indent=1) + b"\n"


def _row(layer: HlsLayer, widths: dict[str, int]) -> LayerWork:
    constants = layer.constants.get("weight") or layer.constants.get("depthwise")
    products = 0 if constants is None else constants.values.size
    outputs = layer.shape[-1]
    return LayerWork(
        name=layer.node,
        products=products,
        digits=0 if constants is None else signed_digits(constants.values * 2.0 ** _fraction(layer)),
        terms=products // outputs,
        places=1 if len(layer.shape) == 1 or not products else layer.shape[0] * layer.shape[1],
        input_bits=max((widths[name] for name in layer.inputs), default=0),
        weight_bits=0 if constants is None else constants.type.width,
        results=len(layer.order),
        result_bits=layer.result.width,
    )


def _fraction(layer: HlsLayer) -> int:
    constants = layer.constants.get("weight") or layer.constants["depthwise"]
    return constants.type.width - constants.type.integer


def signed_digits(integers: NDArray[np.float64]) -> int:
    """Nonzero digits of the canonical signed forms of all integers together.

    Their number is that of the bits in which n and 3 n differ (Reitwiesner, 1960).
    """
    whole = np.abs(integers).astype(np.int64)
    return int(np.bitwise_count(whole ^ (3 * whole)).sum())
