"""Which of ONNX Runtime's nodes do the work of which of our kernels, and what each costs.

A kernel of ours lists the nodes of the network that it computes; ONNX Runtime names a fused node after the first of
those it joined. Nodes that one side inserted (changes of layout) belong to no kernel of the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

_SUFFIX = "_kernel_time"
_APPENDED = re.compile(r"(_nchwc|_token_\d+|/[^/]*)$")


@dataclass(frozen=True)
class Kernel:
    """A kernel of our artefact. The cost is in nanoseconds or instructions."""

    name: str
    op: str
    nodes: tuple[str, ...]
    macs: int
    cost: float


@dataclass(frozen=True)
class Node:
    """A node as ONNX Runtime executes it. The shapes are those of its inputs."""

    name: str
    op: str
    shapes: tuple[tuple[int, ...], ...]
    cost: float


@dataclass(frozen=True)
class Pair:
    """Work that both did: kernels of ours and nodes of theirs; one of the two may be empty."""

    kernels: tuple[Kernel, ...]
    nodes: tuple[Node, ...]

    @property
    def ours(self) -> float:
        """What our kernels cost."""
        return sum(kernel.cost for kernel in self.kernels)

    @property
    def theirs(self) -> float:
        """What their nodes cost."""
        return sum(node.cost for node in self.nodes)

    @property
    def lost(self) -> float:
        """What we spend more than they do."""
        return self.ours - self.theirs


def match(kernels: Sequence[Kernel], nodes: Sequence[Node], model: Path) -> list[Pair]:
    """Join kernels and nodes that share a node of the network; the costliest loss first."""
    by_name = {name: index for index, kernel in enumerate(kernels) for name in kernel.nodes}
    # Where ONNX Runtime blocks channels, it names a node after the value that it computes.
    for node in onnx.load(model, load_external_data=False).graph.node:
        if node.name in by_name:
            by_name |= {value: by_name[node.name] for value in node.output if value not in by_name}
    theirs: dict[int, list[Node]] = {index: [] for index in range(len(kernels))}
    alone = []
    for node in nodes:
        index = by_name.get(_network_name(node.name, by_name))
        if index is None:
            alone.append(Pair((), (node,)))
        else:
            theirs[index].append(node)
    pairs = [Pair((kernel,), tuple(theirs[index])) for index, kernel in enumerate(kernels)]
    return sorted([*pairs, *alone], key=lambda pair: pair.lost, reverse=True)


def _network_name(name: str, known: dict[str, int]) -> str:
    """ONNX Runtime appends what it did to a node, `conv_nchwc`, `conv/MatMulAddFusion`: the part that we know."""
    while name and name not in known:
        name = _APPENDED.sub("", name) if _APPENDED.search(name) else ""
    return name


def table(pairs: Sequence[Pair], count: int, unit: str, scale: float) -> str:
    """Markdown of the first `count` pairs; costs are divided by `scale`."""
    lines = [
        f"| kernel | shapes (of ONNX Runtime) | MMAC | ours, {unit} | theirs, {unit} | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for pair in pairs[:count]:
        kernel = " + ".join(f"{kernel.op} `{kernel.name}`" for kernel in pair.kernels) or "–"
        first = pair.nodes[0] if pair.nodes else None
        shapes = " · ".join("×".join(map(str, shape)) for shape in first.shapes[:2]) if first else "–"
        others = ", ".join(node.op for node in pair.nodes)
        macs = sum(each.macs for each in pair.kernels) / 1e6
        ratio = f"{pair.ours / pair.theirs:.2f}" if pair.theirs else "–"
        costs = f"{pair.ours / scale:.3f} | {pair.theirs / scale:.3f}"
        lines.append(f"| {kernel} | {shapes} ({others}) | {macs:.1f} | {costs} | {ratio} |")
    return "\n".join(lines)


def profiled_runs(path: Path) -> list[list[dict[str, Any]]]:
    """The events of nodes in ONNX Runtime's profile, one list an inference."""
    runs: list[list[dict[str, Any]]] = [[]]
    for event in json.loads(path.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            runs[-1].append(event)
        elif event["name"] == "model_run":
            runs.append([])
    return [run for run in runs if run]


def node_of(event: dict[str, Any], cost: float) -> Node:
    """The node of an event, with the cost that was found for it."""
    typed = event["args"].get("input_type_shape", [])
    shapes = tuple(tuple(shape) for entry in typed for shape in entry.values())
    return Node(event["name"].removesuffix(_SUFFIX), event["args"]["op_name"], shapes, cost)


def kernels_of(report: Path, costs: Sequence[float]) -> list[Kernel]:
    """The kernels of an artefact by its report, with the cost of each."""
    layers = json.loads(report.read_text(encoding="utf-8"))["layers"]
    return [
        Kernel(layer["name"], layer["op"], tuple(layer["nodes"]), layer["macs"], cost)
        for layer, cost in zip(layers, costs, strict=True)
    ]
