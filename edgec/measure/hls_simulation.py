"""The C simulation of a project of high-level synthesis: many samples at once, and layer by layer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgec.backends.hls4ml.traced_layer import FILE_NAME, TRACED_LAYERS, TracedLayer
from edgec.core.codes.hls import VALUE_OVERFLOWS
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.tensor import Sample
from edgec.graph.reference import ReferenceSession
from edgec.measure.running import TIMEOUT_SECONDS, launch, read_every_output, runner_command


@dataclass(frozen=True)
class Simulated:
    """What the simulation computed.

    Attributes:
        outputs: for every sample the outputs by name.
        layers: for every sample the results of the traced layers by name, float64 [N] in the hardware's order; empty
            without a trace.
    """

    outputs: tuple[dict[str, NDArray[np.generic]], ...]
    layers: tuple[dict[str, NDArray[np.float64]], ...]


def simulate(folder: Path, interface: Interface, samples: Sequence[Sample], *, trace: bool = False) -> Simulated:
    """Run all samples in one process.

    Raises:
        EdgecError: EC0650 if there is no simulation, EC0651 to EC0653 if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgec-simulate-") as name:
        scratch = Path(name)
        given = (sample[spec.name] for sample in samples for spec in interface.inputs)
        raw = b"".join(
            np.ascontiguousarray(array, np.dtype(spec.dtype)).tobytes()
            for array, spec in zip(given, interface.inputs * len(samples), strict=True)
        )
        (scratch / "inputs.bin").write_bytes(raw)
        command = [*runner_command(folder, interface), str(scratch / "inputs.bin"), str(scratch / "outputs.bin")]
        if trace:
            command += ["--layers", str(scratch / "layers.bin")]
        launch(command, timeout_seconds=TIMEOUT_SECONDS)
        outputs = read_every_output(scratch / "outputs.bin", interface, len(samples))
        layers = _layers(folder, scratch / "layers.bin", len(samples)) if trace else ()
    return Simulated(outputs, layers)


def raise_for_layer(folder: Path, interface: Interface, model: ir.Model, samples: Sequence[Sample]) -> None:
    """Find the first layer whose results differ from the model's, and say so.

    Args:
        folder: the artefact.
        interface: its interface.
        model: what it was made from; ONNX Runtime tells the value of every layer.
        samples: inputs on which the outputs differ.

    Raises:
        EdgecError: EC1302 with the layer, its type, and the values there; nothing where every layer agrees.
    """
    known = TRACED_LAYERS.validate_json((folder / FILE_NAME).read_bytes())
    found = simulate(folder, interface, samples, trace=True).layers
    session = ReferenceSession(_with_outputs(model, [layer.value for layer in known]))
    expected = [session.run(sample) for sample in samples]
    for layer in known:
        for made, wanted in zip(found, expected, strict=True):
            right = wanted[layer.value].ravel()[list(layer.order)].astype(np.float64)
            wrong = np.flatnonzero(made[layer.name] != right)
            if wrong.size:
                raise _differs(layer, int(wrong.size), float(right[wrong[0]]), float(made[layer.name][wrong[0]]))


def _differs(layer: TracedLayer, count: int, right: float, made: float) -> EdgecError:
    kind = f"{layer.type} (sums {layer.sums})" if layer.sums else layer.type
    return EdgecError(
        VALUE_OVERFLOWS,
        f"{count} of {len(layer.order)} values of {kind} differ; the model has {right:g}, the circuit {made:g}",
        where=f"node {layer.node} ({layer.op}), layer {layer.name}",
        hint=VALUE_OVERFLOWS.remedy,
    )


def _with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A copy of the model that gives out intermediate values too."""
    copy = ir.from_proto(ir.to_proto(model))
    present = {value.name for value in copy.graph.outputs}
    values = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.extend(values[name] for name in dict.fromkeys(names) if name not in present)
    return copy


def _layers(folder: Path, trace: Path, count: int) -> tuple[dict[str, NDArray[np.float64]], ...]:
    """The trace holds the layers of each sample in the order of their names."""
    known = sorted(TRACED_LAYERS.validate_json((folder / FILE_NAME).read_bytes()), key=lambda layer: layer.name)
    ends = np.cumsum([len(layer.order) for layer in known])
    table = np.fromfile(trace, np.float64).reshape(count, int(ends[-1]))
    return tuple(
        {layer.name: row[end - len(layer.order) : end] for layer, end in zip(known, ends, strict=True)} for row in table
    )
