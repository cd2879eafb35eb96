"""The question of `analyze --split`: where to cut a network, for a device, a link and a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.backends.plan import PlannedLayer
from edgec.backends.selection import backend_for
from edgec.core.metric import Metric, Unavailable, Value
from edgec.core.passes import PassContext
from edgec.core.pipeline import OpenGate, Pipeline
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.graph.cost import model_size, node_name, value_bytes
from edgec.graph.cut_points import CutPoint, cut_points
from edgec.graph.load import load_model
from edgec.measure.prediction import predict
from edgec.pass_list import pass_list
from edgec.split.link import Link


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CutCost(_Record):
    """What one cut costs, predicted.

    Attributes:
        values: what travels; empty where the device computes everything.
        payload_bytes: what travels before entropy coding; a float tensor that travels as int8 takes a quarter.
        head_macs: multiply-accumulates on the device.
        tail_macs: multiply-accumulates on the server.
        head_ms: time on the device.
        tail_ms: time on the server.
        head_mj: energy of the device for the head; None where its datasheet states no power.
        link_ms: time on each link, there and back, by its name.
        link_mj: energy of the device's radio by link; None for wires.
    """

    values: tuple[str, ...]
    payload_bytes: int
    head_macs: int
    tail_macs: int
    head_ms: float
    tail_ms: float
    head_mj: float | None
    link_ms: Mapping[str, float]
    link_mj: Mapping[str, float | None]

    def total_ms(self, link: str) -> float:
        """Time from the inputs on the device to the outputs on the device."""
        return self.head_ms + self.link_ms[link] + self.tail_ms


class SplitAnalysis(_Record):
    """Every cut of a network, in order; the first sends the inputs, the last computes everything on the device.

    Attributes:
        device: target of the head.
        server: target of the tail.
        basis: what the times rest on.
        cuts: costs of each cut.
        best: by link, the number of the cut with the least total time.
    """

    device: str
    server: str
    basis: str
    cuts: tuple[CutCost, ...]
    best: Mapping[str, int]


def analyze_split(
    model: Path,
    device_name: str,
    server_name: str,
    links: Sequence[Link],
    shapes: Mapping[str, tuple[int, ...]],
    progress: Progress,
) -> SplitAnalysis:
    """Predict the cost of every cut; nothing is compiled.

    Raises:
        EdgecError: for a model or a target that cannot be read or lowered.
    """
    device, server = load_target(device_name), load_target(server_name)
    backend = backend_for(device)
    steps = pass_list("exact", shapes, backend.prerequisites)
    context = PassContext(target=device, progress=progress)
    prepared = Pipeline(steps, OpenGate(), model_size).run(load_model(model).model, context).model
    layers = backend.layers(prepared, device)
    before = _nodes_before(prepared, layers)
    returned = sum(value_bytes(value) for value in prepared.graph.outputs)
    points = cut_points(prepared)
    cuts = [
        _cost(
            point,
            [layer for layer, node in zip(layers, before, strict=True) if node < point.head_nodes],
            [layer for layer, node in zip(layers, before, strict=True) if node >= point.head_nodes],
            device,
            server,
            links,
            returned,
        )
        for point in points
        if point.tail_macs
    ]
    everything = predict(layers, device, threads=1)
    cuts.append(_all_on_the_device(points[-1], everything.latency_ms, everything.energy_mj, links))
    best = {link.name: min(range(len(cuts)), key=lambda number: cuts[number].total_ms(link.name)) for link in links}
    return SplitAnalysis(
        device=device.name, server=server.name, basis=_basis(everything.latency_ms), cuts=tuple(cuts), best=best
    )


def _nodes_before(model: ir.Model, layers: Sequence[PlannedLayer]) -> list[int]:
    """For each layer the place, among the nodes that `cut_points` counts, of the node that gives it its name.

    A layer made for a node that is not in the model belongs where the layer before it does.
    """
    places = {node_name(node): number for number, node in enumerate(n for n in model.graph if n.op_type != "Constant")}
    found: list[int] = []
    for layer in layers:
        found.append(places.get(layer.name, found[-1] if found else 0))
    return found


def _cost(
    point: CutPoint,
    head: Sequence[PlannedLayer],
    tail: Sequence[PlannedLayer],
    device: Target,
    server: Target,
    links: Sequence[Link],
    returned: int,
) -> CutCost:
    on_device = predict(head, device, threads=1) if head else None
    return CutCost(
        values=point.values,
        payload_bytes=point.payload_bytes,
        head_macs=point.head_macs,
        tail_macs=point.tail_macs,
        head_ms=_number(on_device.latency_ms) if on_device else 0.0,
        tail_ms=_number(predict(tail, server, threads=1).latency_ms),
        head_mj=_energy(on_device.energy_mj) if on_device else 0.0,
        link_ms={link.name: link.transfer_ms(point.payload_bytes, returned) for link in links},
        link_mj={link.name: link.energy_mj(point.payload_bytes, returned) for link in links},
    )


def _all_on_the_device(last: CutPoint, latency_ms: Metric, energy_mj: Metric, links: Sequence[Link]) -> CutCost:
    return CutCost(
        values=(),
        payload_bytes=0,
        head_macs=last.head_macs,
        tail_macs=0,
        head_ms=_number(latency_ms),
        tail_ms=0.0,
        head_mj=_energy(energy_mj),
        link_ms=dict.fromkeys((link.name for link in links), 0.0),
        link_mj=dict.fromkeys((link.name for link in links), 0.0),
    )


def _number(metric: Metric) -> float:
    return metric.value if isinstance(metric, Value) else float("inf")


def _energy(metric: Metric) -> float | None:
    return metric.value if isinstance(metric, Value) else None


def _basis(metric: Metric) -> str:
    return metric.unavailable if isinstance(metric, Unavailable) else metric.source
