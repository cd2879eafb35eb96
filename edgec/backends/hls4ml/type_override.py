"""Types that the user's datasheet puts in the place of derived ones."""

from __future__ import annotations

import re
from dataclasses import replace

from edgec.backends.hls4ml.fixed_point import FixedType
from edgec.backends.hls4ml.network import HlsLayer, HlsNetwork
from edgec.core.codes.hls import UNKNOWN_LAYER
from edgec.core.errors import EdgecError
from edgec.core.target_hls import Hls

_TYPE = re.compile(r"(u?)fixed<(\d+),(-?\d+)>")


def with_types(network: HlsNetwork, hls: Hls) -> HlsNetwork:
    """The network with the types of the datasheet: a quantiser keeps how it rounds and saturates.

    Raises:
        EdgecError: EC1304 for a name that no layer has, or a type that cannot be read.
    """
    if not hls.types:
        return network
    nodes = {layer.node for layer in network.layers}
    for node, text in hls.types.items():
        if node not in nodes:
            raise EdgecError(UNKNOWN_LAYER, f"there is no layer {node}", where="[hls] types", hint=_known(nodes))
        if _TYPE.fullmatch(text) is None:
            raise EdgecError(UNKNOWN_LAYER, f"{text} is no type", where=f"types of {node}", hint="write fixed<8,3>")
    changed = {layer.name: _changed(layer, hls.types.get(layer.node)) for layer in network.layers}
    return HlsNetwork(
        tuple(changed.values()),
        tuple(changed[layer.name] for layer in network.inputs),
        tuple(changed[layer.name] for layer in network.outputs),
        network.graph,
    )


def _changed(layer: HlsLayer, text: str | None) -> HlsLayer:
    found = _TYPE.fullmatch(text or "")
    if found is None:
        return layer
    given = FixedType(int(found[2]), int(found[3]), found[1] == "", layer.result.rounding, layer.result.saturation)
    sums = None if layer.accumulator is None else replace(given, rounding="TRN", saturation="WRAP")
    return replace(layer, result=layer.result if layer.quantised and sums else given, accumulator=sums)


def _known(nodes: set[str]) -> str:
    return f"the layers are {', '.join(sorted(nodes))}"
