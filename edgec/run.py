"""The verb `run`: an artefact's outputs for inputs from a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgec.core.array_file import ArrayFile
from edgec.core.codes.usage import NOT_AN_ARRAY_FILE
from edgec.core.data_fit import match_names, sample_count, sample_of
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.manifest import check_integrity
from edgec.core.output_file import whole_file
from edgec.core.progress import Progress
from edgec.core.tensor import Sample, TensorSpec
from edgec.measure.running import run_artifact


def run(artifact: Path, inputs: Path, output: Path, progress: Progress) -> tuple[TensorSpec, ...]:
    """Run an artefact on the arrays of a `.npz` file and write its outputs to another.

    The arrays have the inputs' shapes, or one more axis before them (or a longer first one where it is 1) for several
    samples; the outputs then have as many along the same axis.

    Returns:
        Name, type and shape of each output that was written.

    Raises:
        EdgecError: EC0604 to EC0606 for a damaged artefact, EC0110 and EC0702 to EC0705 for inputs that do not fit,
            EC0106 if the output cannot be written, and what `run_artifact` raises.
    """
    manifest = check_integrity(artifact)
    samples = read_samples(inputs, manifest.interface)
    progress.start(f"running {len(samples)} sample{'s' if len(samples) > 1 else ''}", len(samples))
    results = []
    for sample in samples:
        results.append(run_artifact(artifact, manifest.interface, [sample]).outputs[0])
        progress.advance()
    return write_outputs(output, results, manifest.interface)


def write_outputs(path: Path, outputs: Sequence[Sample], interface: Interface) -> tuple[TensorSpec, ...]:
    """Write the outputs of all samples to a `.npz` file, one array for each output of the interface.

    Returns:
        Name, type and shape of each array.

    Raises:
        EdgecError: EC0106 if the file cannot be written.
    """
    arrays = {spec.name: _joined([each[spec.name] for each in outputs], spec) for spec in interface.outputs}
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    with whole_file(path) as file:
        file.write(packed.getbuffer())
    return tuple(TensorSpec(name=name, dtype=array.dtype.name, shape=array.shape) for name, array in arrays.items())


def read_samples(path: Path, interface: Interface) -> list[Sample]:
    """The samples of a `.npz` file; see `run` for the shapes.

    Raises:
        EdgecError: EC0110 and EC0702 to EC0705 for arrays that do not fit.
    """
    if not path.is_file():
        raise EdgecError(
            NOT_AN_ARRAY_FILE, "there is no such file", where=f"--input {path}", hint=NOT_AN_ARRAY_FILE.remedy
        )
    file = ArrayFile(path)
    names = match_names(tuple(file.headers), interface.inputs, str(path))
    counts = {spec.name: sample_count(file.headers[names[spec.name]], spec, str(path)) for spec in interface.inputs}
    count = max(counts.values(), default=1)
    if any(each != count for each in counts.values()) or count == 0:
        raise EdgecError(
            NOT_AN_ARRAY_FILE,
            "the arrays hold no samples" if count == 0 else "the arrays hold different numbers of samples",
            where=f"--input {path}",
            hint="every input needs one entry for each sample",
            details=tuple(f"{name}: {each}" for name, each in counts.items()),
        )
    arrays = {spec.name: file.read(names[spec.name]) for spec in interface.inputs}
    return [
        {spec.name: sample_of(arrays[spec.name], spec, index) for spec in interface.inputs} for index in range(count)
    ]


def _joined(outputs: Sequence[np.ndarray], spec: TensorSpec) -> np.ndarray:
    """The outputs of all samples in one array; those of a single sample as they are."""
    if len(outputs) == 1:
        return outputs[0]
    return np.concatenate(outputs) if spec.shape[:1] == (1,) else np.stack(outputs)
