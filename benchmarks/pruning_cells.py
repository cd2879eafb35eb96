"""What the benchmarks of pruning share: prepared networks, exports, their accuracy, and their latency on this machine.

Results are kept in one JSON file, a cell at a time, so that a run that was cut off goes on where it was. Timing is a
stage of its own, as it wants a quiet machine: nothing is compiled in it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import machine
import numpy as np
import onnx_ir as ir
import onnxruntime

from edgec.backends.executor import execute
from edgec.backends.selection import backend_for
from edgec.core.interface import Interface
from edgec.core.passes import Pass, PassContext
from edgec.core.progress import Silent
from edgec.core.recipe import load_recipe
from edgec.core.target_files import load_target
from edgec.core.tensor import Sample
from edgec.measure.host_timing import time_on_host
from edgec.pass_list import pass_list

Cell = dict[str, float | int | str]
INTERFACE_FILE = "interface.json"
_RUNTIME_ROUNDS = 7


@dataclass(frozen=True)
class Images:
    """Inputs and classes: float32 (images, …) and int64 (images,)."""

    pixels: np.ndarray
    labels: np.ndarray


class Results:
    """Cells by name in a JSON file; written after each of them.

    Args:
        path: the file; read if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._machine = machine.observe().as_json()
        self.cells = self._read()

    def lacks(self, name: str, field: str) -> bool:
        """Whether a figure of a cell has not been had yet."""
        return field not in self.cells.get(name, {})

    def put(self, name: str, **figures: float | int | str) -> None:
        """Add figures to a cell; what another stage has written meanwhile stays."""
        self.cells = self._read()
        self.cells.setdefault(name, {}).update(figures)
        text = json.dumps({"machine": self._machine, "cells": self.cells}, indent=1, sort_keys=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(text + "\n", encoding="utf-8")

    def _read(self) -> dict[str, Cell]:
        return json.loads(self._path.read_text(encoding="utf-8"))["cells"] if self._path.exists() else {}


def images(path: Path, part: str) -> Images:
    """A part, `calibration` or `evaluation`, of the arrays that examples/fashion_mnist/train.py writes."""
    arrays = np.load(path)
    return Images(arrays[f"{part}/x"], arrays[f"{part}/y"])


def prepared(path: Path) -> ir.Model:
    """The network after the exact passes, for one image."""
    return transformed(ir.load(path), load_recipe("exact").passes)


def transformed(
    model: ir.Model, passes: Iterable[Pass], samples: Sequence[Sample] = (), target: str = "host"
) -> ir.Model:
    """The network after some passes."""
    context = PassContext(target=load_target(target), calibration=samples)
    for step in passes:
        model = step.run(model, context).model
    return model


def answers(model: ir.Model, pixels: np.ndarray, batch: int = 250) -> np.ndarray:
    """The class that the network finds for each image, (images,), int64."""
    session = _session(with_open_batch(model))
    name = session.get_inputs()[0].name
    parts = np.array_split(pixels, max(1, len(pixels) // batch))
    return np.concatenate([np.argmax(session.run(None, {name: part})[0], axis=-1) for part in parts])


def with_open_batch(model: ir.Model) -> ir.Model:
    """A copy of a network made for one image that takes any number of them."""
    copy = model.clone()
    for node in copy.graph:
        for output in node.outputs:
            output.shape = None
        shape = ir.convenience.get_const_tensor(node.inputs[1]) if node.op_type == "Reshape" else None
        if shape is not None and shape.numpy()[0] == 1:
            value = ir.Value(name=f"{node.name}.shape", const_value=ir.tensor([0, *shape.numpy()[1:].tolist()]))
            copy.graph.register_initializer(value)
            node.replace_input_with(1, value)
            node.attributes.pop("allowzero", None)
    copy.graph.inputs[0].shape = ir.Shape([None, *(copy.graph.inputs[0].shape or ())[1:]])
    return copy


def accuracy(model: ir.Model, data: Images) -> float:
    """Share of the images whose class is found."""
    return float((answers(model, data.pixels) == data.labels).mean())


def compile_here(model: ir.Model, folder: Path) -> None:
    """Make the artefact of a network for this machine, on one thread, unless it is there."""
    if (folder / INTERFACE_FILE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    target = load_target("host")
    backend = backend_for(target)
    ir.save(model, folder / "model.onnx")
    lowered = transformed(model.clone(), pass_list("exact", {}, backend.prerequisites))
    plan = backend.plan(lowered, target, name="net", threads=1, progress=Silent())
    execute(plan, folder, Silent())
    (folder / INTERFACE_FILE).write_text(plan.interface.model_dump_json(), encoding="utf-8")


def artefact_ms(folder: Path, seconds: float = 1.0) -> float:
    """Median latency of an artefact made by `compile_here`."""
    interface = Interface.model_validate_json((folder / INTERFACE_FILE).read_text(encoding="utf-8"))
    return time_on_host(folder, interface, _noise(interface), seconds=seconds).latency_ms.value


def runtime_ms(folder: Path, seconds: float = 0.5) -> float:
    """Latency of the same network in ONNX Runtime with all its optimisations, on one thread: the median of rounds."""
    session = _session(ir.load(folder / "model.onnx"))
    interface = Interface.model_validate_json((folder / INTERFACE_FILE).read_text(encoding="utf-8"))
    sample = dict(_noise(interface))
    rounds = []
    for _ in range(_RUNTIME_ROUNDS):
        started, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - started) < seconds / _RUNTIME_ROUNDS:
            session.run(None, sample)
            count += 1
        rounds.append(spent / count)
    return 1e3 * statistics.median(rounds)


Points = Sequence[tuple[float, float]]
"""Networks as (latency, accuracy)."""


def best_within(points: Points, budget: float) -> float | None:
    """The largest accuracy of the networks that are no slower than a budget; None where none is. Nothing is guessed."""
    return max((accurate for latency, accurate in points if latency <= budget), default=None)


def mean_lead(points: Points, others: Points) -> float | None:
    """How much larger `best_within` is for `points` than for `others`, on average over the budgets both can meet.

    The budgets are those up to the slowest network; None where only that one is left.
    """
    knots = sorted({latency for latency, _ in (*points, *others)})
    knots = [knot for knot in knots if knot >= max(min(points)[0], min(others)[0])]
    spans = [after - before for before, after in pairwise(knots)]
    leads = [(best_within(points, knot) or 0.0) - (best_within(others, knot) or 0.0) for knot in knots[:-1]]
    return sum(span * lead for span, lead in zip(spans, leads, strict=True)) / sum(spans) if sum(spans) else None


def _noise(interface: Interface) -> Sample:
    generator = np.random.default_rng(0)
    return {spec.name: generator.standard_normal(spec.shape).astype(np.float32) for spec in interface.inputs}


def _session(model: ir.Model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    content = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
