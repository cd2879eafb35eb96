"""The verb `split run`: inferences with the head here and the tail on a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgec.core.manifest import check_integrity, read_manifest
from edgec.core.metric import Value
from edgec.core.progress import Progress
from edgec.core.tensor import Sample
from edgec.measure.running import run_artifact
from edgec.report.files import load_report
from edgec.run import read_samples, write_outputs
from edgec.split.client import Server, SplitClient
from edgec.split.manifest import SplitManifest, read_split
from edgec.split.policy import FallbackPolicy, Where
from edgec.split.session import Inference, Network, SplitSession


@dataclass(frozen=True)
class SplitRunOptions:
    """What to run.

    Attributes:
        folder: of the split network.
        inputs: `.npz` file, as for `run`.
        output: `.npz` file to write.
        server: where the tail is.
        timeout_s: longest time of a request.
        deadline_ms: time that an answer may be expected to take before the device computes by itself.
    """

    folder: Path
    inputs: Path
    output: Path
    server: Server
    timeout_s: float
    deadline_ms: float


class SplitRun(BaseModel):
    """Who computed each sample, and why; sizes in bytes, times in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: tuple[Where, ...]
    reasons: tuple[str, ...]
    payload_bytes: tuple[int, ...]
    elapsed_ms: tuple[float, ...]
    bandwidth_mbps: float | None


def run_split(options: SplitRunOptions, progress: Progress) -> SplitRun:
    """Run a split network on the arrays of a `.npz` file and write the outputs to another.

    Raises:
        EdgecError: EC0604 to EC0606 for a damaged folder, EC1203 for one of something else, EC1204 where the server
            gives no answer and the device does not hold the whole network; what `run` raises for the inputs.
    """
    manifest = read_split(options.folder)
    whole = check_integrity(options.folder)
    samples = read_samples(options.inputs, whole.interface)
    policy = FallbackPolicy(local_ms=_local_ms(options.folder, manifest), deadline_ms=options.deadline_ms)
    client = SplitClient(options.server, manifest, options.timeout_s)
    local = _network(options.folder / manifest.local) if manifest.local is not None else None
    session = SplitSession(manifest, _network(options.folder / manifest.head), client, policy, local)
    progress.start(f"running {len(samples)} sample{'s' if len(samples) > 1 else ''}", len(samples))
    done: list[Inference] = []
    try:
        for sample in samples:
            done.append(session.run(sample))
            progress.advance()
    finally:
        client.close()
    write_outputs(options.output, [inference.outputs for inference in done], whole.interface)
    return _summary(done, policy)


def _summary(done: Sequence[Inference], policy: FallbackPolicy) -> SplitRun:
    return SplitRun(
        where=tuple(inference.where for inference in done),
        reasons=tuple(inference.reason for inference in done),
        payload_bytes=tuple(inference.payload_bytes for inference in done),
        elapsed_ms=tuple(inference.elapsed_ms for inference in done),
        bandwidth_mbps=policy.bandwidth_mbps,
    )


def _network(artifact: Path) -> Network:
    interface = read_manifest(artifact).interface

    def run(sample: Sample) -> dict[str, np.ndarray]:
        given = {spec.name: sample[spec.name] for spec in interface.inputs}
        return run_artifact(artifact, interface, [given]).outputs[0]

    return run


def _local_ms(folder: Path, manifest: SplitManifest) -> float | None:
    """What the report of the local network says of its latency; infinite where it says nothing, or none is there.

    An early answer without a local network is only for when the server gives none.
    """
    if manifest.local is None:
        return None if manifest.early is None else float("inf")
    latency = load_report(folder / manifest.local).metrics.latency_ms
    return latency.value if isinstance(latency, Value) else float("inf")
