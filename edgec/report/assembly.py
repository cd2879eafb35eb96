"""Putting a report together from what a build did, checked and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgec.backends.plan import BuildPlan, PlannedLayer
from edgec.core.manifest import Provenance
from edgec.core.metric import Metric
from edgec.core.target import Target
from edgec.core.trace import ModelSize, PassRecord
from edgec.core.version import VERSION
from edgec.measure.artifact_costs import ArtifactCosts
from edgec.measure.audit_records import AnswerAudit, ErrorAudit
from edgec.report.schema import (
    BuildSection,
    FallbackRow,
    Layer,
    MemoryByOwner,
    ModelSection,
    Report,
    TargetSection,
    Verification,
    fill_metrics,
    reconcile,
    with_shares,
)


@dataclass(frozen=True)
class BuildFacts:
    """What a build was asked to do and what it did.

    Attributes:
        provenance: what the artefact was made from.
        target: the device.
        original_size: size of the model before any pass.
        threads: threads of an inference.
        shapes: shapes of inputs that were given.
        records: the pipeline's trace.
        verification: the comparison with the reference.
        accuracy: `accuracy` and `accuracy_original`.
        audit: what the passes did to the outputs; None where none of them may change them, or there is no data.
    """

    provenance: Provenance
    target: Target
    original_size: ModelSize
    threads: int
    shapes: Mapping[str, tuple[int, ...]]
    records: tuple[PassRecord, ...]
    verification: Verification
    accuracy: Mapping[str, Metric]
    audit: AnswerAudit | ErrorAudit | None


def assemble(facts: BuildFacts, plan: BuildPlan, costs: ArtifactCosts) -> Report:
    """The report of a build."""
    latency = costs.metrics["latency_ms"]
    layers = with_shares(latency, _layers(plan.layers, costs))
    return Report(
        edgec=VERSION,
        model=_model(facts, plan),
        target=TargetSection(
            name=facts.target.name, backend=facts.target.backend, sha256=facts.provenance.target_sha256
        ),
        build=BuildSection(
            recipe=facts.provenance.recipe,
            seed=facts.provenance.seed,
            threads=facts.threads,
            options={"shape": {name: list(shape) for name, shape in facts.shapes.items()}} if facts.shapes else {},
            tools=facts.provenance.tools,
        ),
        assumptions=(*_assumptions(facts.records), *_tuning(plan), *costs.notes),
        passes=facts.records,
        verification=facts.verification,
        metrics=fill_metrics(
            {**costs.metrics, **facts.accuracy}, f"not a quantity of the backend {facts.target.backend}"
        ),
        memory=MemoryByOwner(**plan.memory.model_dump(), code_bytes=costs.code_bytes),
        layers=layers,
        reconciliation=reconcile(latency, layers, overhead_ms=costs.overhead_ms, explanation=costs.between_layers),
        fallbacks=tuple(FallbackRow(**fallback.model_dump()) for fallback in plan.fallbacks),
        audit=facts.audit,
    )


def _model(facts: BuildFacts, plan: BuildPlan) -> ModelSection:
    size = facts.original_size
    return ModelSection(
        name=facts.provenance.model_name,
        sha256=facts.provenance.model_sha256,
        inputs=plan.interface.inputs,
        outputs=plan.interface.outputs,
        macs=size.macs,
        parameters=size.parameters,
        bytes=size.bytes,
    )


def _layers(planned: tuple[PlannedLayer, ...], costs: ArtifactCosts) -> tuple[Layer, ...]:
    rows = zip(planned, costs.layer_latency_ms, costs.layer_energy_mj, costs.layer_counts, strict=True)
    # The plan's share is one of inferences, the report's one of the latency.
    wanted = set(Layer.model_fields) - {"share"}
    return tuple(
        Layer(**layer.model_dump(include=wanted), latency_ms=latency, energy_mj=energy, counts=counts)
        for layer, latency, energy, counts in rows
    )


def _tuning(plan: BuildPlan) -> tuple[str, ...]:
    use = plan.tuning
    if use is None:
        return ()
    count = f"{use.tuned} of the {use.kernels} kernels that allow a choice are computed in a way that measurements"
    return (f"{count} found faster ({'; '.join(use.source) or 'there are none'}; records {use.sha256[:12]})",)


def _assumptions(records: tuple[PassRecord, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(assumption for record in records for assumption in record.assumptions))
