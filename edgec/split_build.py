"""The verb `split build`: a network in two parts, the head for a device and the tail for a server."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.backends.selection import backend_for
from edgec.build import BuildOptions, build, run_passes, subject_of
from edgec.core.artifact import staged
from edgec.core.codes.split import NO_CUT
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity
from edgec.core.interface import Interface
from edgec.core.manifest import Provenance, read_manifest, write_manifest
from edgec.core.progress import Progress
from edgec.core.tensor import Sample, TensorSpec
from edgec.core.version import VERSION
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cut_points import CutPoint, cut_points
from edgec.graph.exit_note import ExitNote, without_exits
from edgec.graph.fidelity import compare
from edgec.graph.reference import ReferenceSession
from edgec.graph.save import save_model
from edgec.graph.shapes import static_shape
from edgec.measure.running import run_artifact
from edgec.split.frequency_tables import FrequencyTables, tables_from_counts
from edgec.split.manifest import FILE, EarlyAnswer, SplitManifest
from edgec.split.tensors import PayloadCoding
from edgec.split.triton import write_repository
from edgec.split.two_parts import TwoParts, early_answer, in_two, quantized_at, symbol_tables, with_open_batch

HEAD, LOCAL, REPORT = "head", "local", "split-report.json"


@dataclass(frozen=True)
class SplitOptions:
    """What to build.

    Attributes:
        whole: the network, the device of its head, recipe, data and folder, as for `build`.
        cut: values that travel; empty for the latent of a bottleneck, or else one tensor that leaves little to do on
            the device and to send.
        quantize: whether a float tensor travels as int8 and entropy-coded.
        local: whether the device gets the whole network too, for when the link is down.
    """

    whole: BuildOptions
    cut: tuple[str, ...] = ()
    quantize: bool = True
    local: bool = True


class SplitReport(BaseModel):
    """What a split network costs and how true it is.

    Attributes:
        cut: values that travel.
        head_macs: multiply-accumulates on the device.
        tail_macs: multiply-accumulates on the server.
        head_weight_bytes: weights on the device.
        input_bytes: what offloading the whole network would send, uncompressed.
        raw_bytes: what the tensors at the cut take before entropy coding.
        payload_bytes: what a sample sends, mean over the samples.
        fidelity: head, coding and tail against the model, on the same samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cut: tuple[str, ...]
    head_macs: int
    tail_macs: int
    head_weight_bytes: int
    input_bytes: int
    raw_bytes: int
    payload_bytes: float
    fidelity: Fidelity


def build_split(options: SplitOptions, progress: Progress) -> SplitReport:
    """Compile the head of a network for a device and prepare its tail for a server.

    Raises:
        EdgecError: EC1206 where there is no cut to choose; whatever `build` raises.
    """
    whole = options.whole
    subject = subject_of(whole)
    loaded, evaluation = subject.loaded, subject.evaluation
    model = run_passes(subject, whole, backend_for(subject.target), progress).model
    seen = evaluation.calibration or evaluation.samples
    point = _chosen(model, options.cut)
    parts = _parts(model, point, options.quantize, seen)
    with staged(whole.out) as folder:
        built = _build_head(parts.head, loaded.name, whole, folder, progress)
        if options.local:
            build(replace(whole, out=folder / LOCAL), progress)
        tail = with_open_batch(parts.tail, _sent(parts, seen[:2]))
        tail_file = write_repository(tail, f"{loaded.name}_tail", folder)
        manifest = SplitManifest(
            cut=point.values,
            sent=_specs([value for value in parts.head.graph.outputs if value.name in parts.sent]),
            returned=_specs(parts.tail.graph.outputs),
            tables=_tables(model, parts, seen),
            tail_sha256=hashlib.sha256((folder / tail_file).read_bytes()).hexdigest(),
            head=HEAD,
            tail=tail_file,
            local=LOCAL if options.local else None,
            early=_early(model, parts),
        )
        (folder / FILE).write_text(manifest.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
        report = _report(point, model, parts, manifest, folder, evaluation.samples)
        (folder / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        interface = Interface(symbol=loaded.name, inputs=_specs(model.graph.inputs), outputs=manifest.returned)
        write_manifest(folder, edgec=VERSION, provenance=built, interface=interface)
    return report


def _chosen(model: ir.Model, wanted: tuple[str, ...]) -> CutPoint:
    note = BottleneckNote.read(model)
    wanted = wanted or ((note.value,) if note is not None else ())
    points = cut_points(without_exits(model, ExitNote.read(model)))
    for point in points:
        if wanted and point.values == wanted:
            return point
    if wanted:
        known = ", ".join("+".join(point.values) for point in points if point.after)
        raise EdgecError(NO_CUT, f"the model cannot be cut at {'+'.join(wanted)}", hint=f"it can be at {known}")
    inner = [point for point in points if len(point.values) == 1 and point.head_macs and point.tail_macs]
    if not inner:
        raise EdgecError(NO_CUT, "no single tensor divides the work of this model", hint=NO_CUT.remedy)
    return min(inner, key=lambda point: _shares(point, points[0].payload_bytes))


def _shares(point: CutPoint, input_bytes: int) -> float:
    """The device's share of the work, and what travels as a share of the inputs: 1 for either way without a cut."""
    return point.head_macs / (point.head_macs + point.tail_macs) + point.payload_bytes / input_bytes


def _parts(model: ir.Model, point: CutPoint, quantize: bool, samples: Sequence[Sample]) -> TwoParts:
    value = next(value for value in _values(model) if value.name == point.values[0])
    early = early_answer(model, point.values)
    if quantize and len(point.values) == 1 and value.dtype == ir.DataType.FLOAT:
        quantized, integers = quantized_at(model, point.values[0], samples)
        return in_two(quantized, (integers,), early)
    return in_two(model, point.values, early)


def _tables(model: ir.Model, parts: TwoParts, samples: Sequence[Sample]) -> FrequencyTables | None:
    """The frequencies that a bottleneck has learnt, or those of the samples."""
    note = BottleneckNote.read(model)
    if note is not None and note.counts and parts.sent == (note.value,):
        return tables_from_counts(np.full(len(note.counts), note.lowest), note.counts, note.groups)
    return symbol_tables(parts, samples)


def _early(model: ir.Model, parts: TwoParts) -> EarlyAnswer | None:
    note = ExitNote.read(model)
    made = [str(value.name) for value in parts.head.graph.outputs if value.name not in parts.sent]
    if note is None or not made:
        return None
    return EarlyAnswer(output=made[0], threshold=note.threshold, probabilities=note.probabilities)


def _values(model: ir.Model) -> list[ir.Value]:
    return [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]


def _build_head(head: ir.Model, name: str, whole: BuildOptions, folder: Path, progress: Progress) -> Provenance:
    """Build the head's artefact; the passes have run, so only exact ones are left.

    Returns:
        What the head was made from, under the name of the whole network.
    """
    with tempfile.TemporaryDirectory(prefix="edgec-split-") as scratch:
        file = Path(scratch) / f"{name}_head.onnx"
        save_model(head, file)
        build(replace(whole, model=file, recipe="exact", data=None, shapes={}, out=folder / HEAD), progress)
    return read_manifest(folder / HEAD).provenance.model_copy(
        update={"model_name": whole.model.stem, "recipe": Path(whole.recipe).stem}
    )


def _sent(parts: TwoParts, samples: Sequence[Sample]) -> list[Sample]:
    session = ReferenceSession(parts.head)
    made = [session.run(_taken(parts.head, sample)) for sample in samples]
    return [{name: outputs[name] for name in parts.sent} for outputs in made]


def _taken(head: ir.Model, sample: Sample) -> Sample:
    return {str(value.name): sample[str(value.name)] for value in head.graph.inputs}


def _specs(values: Sequence[ir.Value]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=str(value.name), dtype=value.dtype.numpy().name, shape=static_shape(value) or ())
        for value in values
        if value.dtype is not None
    )


def _report(
    point: CutPoint,
    model: ir.Model,
    parts: TwoParts,
    manifest: SplitManifest,
    folder: Path,
    samples: Sequence[Sample],
) -> SplitReport:
    """The split network as it will run: the head's artefact, the bytes that travel, and the tail."""
    coding = PayloadCoding(manifest)
    interface = read_manifest(folder / HEAD).interface
    whole = without_exits(model, ExitNote.read(model))
    reference, tail = ReferenceSession(whole), ReferenceSession(parts.tail)
    expected, made, payloads = [], [], []
    for sample in samples:
        (head,) = run_artifact(folder / HEAD, interface, [_taken(parts.head, sample)]).outputs
        payloads.append(coding.pack(head))
        made.append(tail.run(coding.unpack(payloads[-1], coding.coding, coding.shape)))
        expected.append(reference.run(sample))
    return SplitReport(
        cut=point.values,
        head_macs=point.head_macs,
        tail_macs=point.tail_macs,
        head_weight_bytes=point.head_weight_bytes,
        input_bytes=sum(spec.size_bytes for spec in _specs(model.graph.inputs)),
        raw_bytes=manifest.sent_bytes,
        payload_bytes=sum(map(len, payloads)) / len(payloads),
        fidelity=compare(expected, made),
    )
