"""The verb `verify`: is an artefact as it was built, and does it compute what its model says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.core.codes.artifact import WRONG_RESULTS
from edgec.core.errors import EdgecError
from edgec.core.fidelity import Fidelity
from edgec.core.interface import Interface
from edgec.core.manifest import check_integrity
from edgec.core.progress import Progress
from edgec.core.tensor import Sample
from edgec.graph.fidelity import compare
from edgec.graph.gate import HALF_TOLERANCE, ROUNDING_TOLERANCE
from edgec.graph.gate import tolerance as exact_tolerance
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.graph.reference import ReferenceSession
from edgec.measure.board import BoardSession
from edgec.measure.hls_simulation import raise_for_layer
from edgec.measure.running import can_run, run_artifact
from edgec.report.schema import Unverified, Verification, Verified

MODEL_FILE = "model.onnx"
FLOAT_TOLERANCE = 1e-4
"""Largest error of a compiled float32 network, relative to the range of the output: sums are reordered and functions
such as exp are approximated in every layer, so it is wider than what one exact pass may do."""


class Verdict(BaseModel):
    """What `verify` found.

    Attributes:
        artifact: the folder.
        files: number of files that are as they were built.
        verification: the comparison with the reference, or why there is none.
        passed: None if it is unverified.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact: str
    files: int
    verification: Verification
    passed: bool | None

    @property
    def summary(self) -> str:
        """The verdict as lines of text."""
        intact = f"intact: {self.files} files are as they were built"
        if isinstance(self.verification, Unverified):
            return f"{intact}\nunverified: {self.verification.reason}"
        found = self.verification
        verdict = "verified" if self.passed else "FAILED"
        allowed = "bit-exactness demanded" if found.tolerance is None else f"at most {found.tolerance:g} allowed"
        return (
            f"{intact}\n{verdict}: {found.samples} samples on {found.where} against {found.reference}\n"
            f"  largest error {found.max_relative_error:.3g} of the output's range ({allowed}), "
            f"{found.max_abs_error:.3g} absolute\n"
            f"  same arg-max in {found.agreement:.2%} of the rows"
        )


def verify(artifact: Path, *, samples: int, seed: int, progress: Progress) -> Verdict:
    """Check every file, then run the artefact and ONNX Runtime on the same random inputs.

    Raises:
        EdgecError: EC0604 to EC0606 for a damaged artefact; what loading the model or running either side raises.
    """
    progress.start("checking the files")
    manifest = check_integrity(artifact)
    verification: Verification
    reason = can_run(manifest.interface)
    if reason is not None:
        verification = Unverified(reason=reason)
        return Verdict(artifact=str(artifact), files=len(manifest.files), verification=verification, passed=None)
    model = load_model(artifact / MODEL_FILE).model
    inputs = sample_inputs(model, samples, seed)
    verification = compare_with_reference(artifact, manifest.interface, model, inputs, progress)
    passed = within_tolerance(verification)
    return Verdict(artifact=str(artifact), files=len(manifest.files), verification=verification, passed=passed)


def verify_build(
    folder: Path,
    interface: Interface,
    model: ir.Model,
    samples: Sequence[Sample],
    progress: Progress,
    board: BoardSession | None = None,
) -> Verification:
    """Run a fresh artefact before it is handed over, on a board if there is one; where it cannot run, that is said.

    Raises:
        EdgecError: EC0607 if the outputs differ by more than the tolerance, EC1302 where the layer that begins it is
            known; what running either side raises.
    """
    reason = can_run(interface) if board is None else None
    if reason is not None:
        return Unverified(reason=reason)
    found = compare_with_reference(folder, interface, model, samples, progress, board)
    if not within_tolerance(found):
        if interface.simulation == "c-simulation":
            raise_for_layer(folder, interface, model, samples)
        raise EdgecError(
            WRONG_RESULTS,
            f"the largest error is {found.max_relative_error:.3g} of the output's range, "
            f"{found.tolerance or 0} is allowed",
            where=f"{found.where}, {found.samples} samples",
            hint=WRONG_RESULTS.remedy,
        )
    return found


def compare_with_reference(
    folder: Path,
    interface: Interface,
    model: ir.Model,
    samples: Sequence[Sample],
    progress: Progress,
    board: BoardSession | None = None,
) -> Verified:
    """The artefact's outputs against those of its model in ONNX Runtime; the caller judges them.

    Raises:
        EdgecError: what running either side raises; EC0210 if their outputs differ in name or shape.
    """
    progress.start("comparing with ONNX Runtime", len(samples))
    reference = ReferenceSession(model)
    expected: list[dict[str, np.ndarray]] = []
    produced: list[dict[str, np.ndarray]] = []
    for sample in samples:
        expected.append(reference.run(sample))
        produced += (run_artifact(folder, interface, [sample]) if board is None else board.run([sample])).outputs
        progress.advance()
    emulator = Path(interface.emulator[0]).name if interface.emulator else "host"
    where = (interface.simulation or interface.graphics or emulator) if board is None else "device"
    tolerance = None if interface.bit_exact else verification_tolerance(model)
    return _verified(compare(expected, produced), where, tolerance)


def verification_tolerance(model: ir.Model) -> float:
    """Largest relative error that an artefact may make against its model."""
    exact = exact_tolerance(model)
    return exact if exact in (HALF_TOLERANCE, ROUNDING_TOLERANCE) else FLOAT_TOLERANCE


def within_tolerance(found: Verified) -> bool:
    """Whether a comparison is good enough to hand the artefact over."""
    return found.bit_exact if found.tolerance is None else found.max_relative_error <= found.tolerance


def _verified(fidelity: Fidelity, where: str, tolerance: float | None) -> Verified:
    return Verified(
        reference="onnxruntime",
        where=where,
        samples=fidelity.samples,
        bit_exact=fidelity.bit_exact,
        max_abs_error=fidelity.max_abs_error,
        max_relative_error=fidelity.max_relative_error,
        agreement=fidelity.agreement,
        tolerance=tolerance,
    )
