"""The report as data, schema `edgec-report/1`: what was built, from what, how it was checked, and what it costs.

Terminal, Markdown and HTML are renderings of a `Report`; `report.json` is the `Report` itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from edgec.core.counts import Counts
from edgec.core.metric import Metric, Unavailable, Value
from edgec.core.tensor import TensorSpec
from edgec.core.trace import ModelSize, PassRecord
from edgec.measure.audit_records import AnswerAudit, ErrorAudit

SCHEMA = "edgec-report/1"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
SUM_TOLERANCE = 1e-6
"""Sums are compared to this relative tolerance: it covers the rounding of sums, nothing else."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class ModelSection(_Section):
    """The model as it was given, before any pass.

    Attributes:
        name: file name without its folder and suffix.
        sha256: digest of the file.
        inputs: in the order of the graph, with the shapes that were compiled.
        outputs: likewise.
        macs: multiply-accumulates per inference.
        parameters: elements of the initializers.
        bytes: bytes of the initializers.
    """

    name: str
    sha256: str = Field(pattern=SHA256_PATTERN)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    macs: int = Field(ge=0)
    parameters: int = Field(ge=0)
    bytes: int = Field(ge=0)


class TargetSection(_Section):
    """The device: its name, its backend, and the digest of its datasheet."""

    name: str
    backend: str
    sha256: str = Field(pattern=SHA256_PATTERN)


class BuildSection(_Section):
    """How the build was asked for: enough to repeat it.

    Attributes:
        recipe: name or file of the recipe.
        seed: seed of every random choice.
        threads: threads that the artefact uses.
        options: further options by name (`{"shape": {"input": [1, 3, 224, 224]}}`).
        tools: version by name of what took part (`{"apache-tvm": "0.27.0"}`).
    """

    recipe: str
    seed: int
    threads: int = Field(ge=1)
    options: dict[str, JsonValue] = Field(default_factory=dict)
    tools: dict[str, str] = Field(default_factory=dict)


class Verified(_Section):
    """The artefact ran, and its outputs were compared with a reference.

    Attributes:
        reference: what the outputs were compared with, `onnxruntime`.
        where: where the artefact ran: `host`, `qemu-…`, `cuda` or `opencl` (a driver of this machine), `c-simulation`,
            `rtl-simulation`, or `device`.
        samples: number of input sets.
        bit_exact: every output equal, bit for bit.
        max_abs_error: largest absolute difference.
        max_relative_error: largest absolute difference over the range of the reference output.
        agreement: share of samples with the same arg-max.
        tolerance: `max_relative_error` that was allowed; absent where bit-exactness was demanded.
    """

    reference: str
    where: str = Field(pattern=r"^(host|qemu-[a-z0-9_]+|cuda|opencl|c-simulation|rtl-simulation|device)$")
    samples: int = Field(ge=1)
    bit_exact: bool
    max_abs_error: float = Field(ge=0)
    max_relative_error: float = Field(ge=0)
    agreement: float = Field(ge=0, le=1)
    tolerance: float | None = Field(default=None, ge=0)


class Unverified(_Section):
    """The artefact did not run before it was handed over, and why."""

    reference: str = "onnxruntime"
    where: Literal["unverified"] = "unverified"
    reason: str = Field(min_length=1)


Verification = Verified | Unverified


_NOT_COUNTED = Unavailable(unavailable="the edgec that wrote the report did not count it")


class Metrics(_Section):
    """Every metric that any target may have; what could not be had says why.

    Attributes:
        latency_ms: one inference, in milliseconds.
        energy_mj: one inference, in millijoules.
        peak_memory_bytes: working memory beyond code and constants: arena and scratch.
        artifact_bytes: what is copied to the device: code and constants.
        accuracy: share of evaluation samples that the built model gets right.
        accuracy_original: the same, for the model as it was given.
        instructions: executed instructions per inference.
        memory_accesses: loads and stores per inference.
        l1_misses: cache lines per inference that the level 1 data cache lacked.
        last_level_misses: cache lines per inference that come from main memory.
        luts: look-up tables of the FPGA.
        flip_flops: registers of the FPGA.
        dsps: multiplier blocks of the FPGA.
        block_ram_kbit: block memory of the FPGA, in kilobits (1024).
        fmax_mhz: highest clock of the placed design.
        cycles: clock cycles per inference.
        initiation_interval: clock cycles between two inferences.
        payload_bytes: bytes sent between the parts of a split model.
    """

    latency_ms: Metric
    energy_mj: Metric
    peak_memory_bytes: Metric
    artifact_bytes: Metric
    accuracy: Metric
    accuracy_original: Metric
    instructions: Metric
    memory_accesses: Metric = _NOT_COUNTED
    l1_misses: Metric = _NOT_COUNTED
    last_level_misses: Metric = _NOT_COUNTED
    luts: Metric
    flip_flops: Metric = _NOT_COUNTED
    dsps: Metric = _NOT_COUNTED
    block_ram_kbit: Metric = _NOT_COUNTED
    fmax_mhz: Metric
    cycles: Metric
    initiation_interval: Metric
    payload_bytes: Metric


def fill_metrics(known: Mapping[str, Metric], otherwise: str) -> Metrics:
    """Every metric of `known` by its name, and the reason `otherwise` for each that is not named."""
    unavailable = Unavailable(unavailable=otherwise)
    return Metrics.model_validate(dict.fromkeys(Metrics.model_fields, unavailable) | dict(known))


class Layer(_Section):
    """One kernel call of the artefact.

    Attributes:
        name: the ONNX node that gives the kernel its name.
        op: its operator.
        nodes: every ONNX node that the kernel computes.
        macs: multiply-accumulates per inference, all calls together.
        bytes: bytes of weights and activations that it reads and writes.
        calls: runs per inference.
        latency_ms: milliseconds per inference, all calls together.
        energy_mj: millijoules per inference.
        share: its part of the total latency, 0 to 1; absent where a latency is unavailable.
        precision: element type that it computes with (`float32`; `uint8` or `int8` where it sums integers).
        counts: what it executes per inference, all calls together; absent where that was not counted.
    """

    name: str
    op: str
    nodes: tuple[str, ...] = ()
    macs: int = Field(ge=0)
    bytes: int = Field(ge=0)
    calls: int = Field(default=1, ge=0)
    latency_ms: Metric
    energy_mj: Metric
    share: float | None = Field(default=None, ge=0)
    precision: str = "float32"
    counts: Counts | None = None


class Reconciliation(_Section):
    """How the layers add up to the total latency; `layers_ms + between_layers_ms` is the total.

    Attributes:
        layers_ms: sum of the layers.
        between_layers_ms: what the total holds beyond the layers (calls, copies, timers); negative where
            layers that were timed one by one took longer than the whole.
        overhead_ms: how much of that the meter accounts for.
        explanation: what the time between layers is; required where it exceeds `overhead_ms`.
    """

    layers_ms: float
    between_layers_ms: float
    overhead_ms: float = Field(ge=0)
    explanation: str = ""

    @property
    def within_overhead(self) -> bool:
        """Whether the time between layers is what the meter accounts for."""
        return abs(self.between_layers_ms) <= self.overhead_ms + SUM_TOLERANCE * abs(self.layers_ms)

    @model_validator(mode="after")
    def _large_difference_is_explained(self) -> Self:
        if not self.within_overhead and not self.explanation:
            raise ValueError(
                f"{self.between_layers_ms} ms between layers exceed the overhead of {self.overhead_ms} ms "
                "and need an explanation"
            )
        return self


class FallbackRow(_Section):
    """A node that was lowered in a way the user would not expect, why, and what would help."""

    node: str
    reason: str
    hint: str


class MemoryByOwner(_Section):
    """Memory of the artefact by owner, in bytes.

    Attributes:
        weights_bytes: constants, read-only.
        activations_bytes: peak of the arena that holds intermediate tensors.
        scratch_bytes: work space of kernels beyond the arena.
        code_bytes: machine code, or why it is not known.
    """

    weights_bytes: int = Field(ge=0)
    activations_bytes: int = Field(ge=0)
    scratch_bytes: int = Field(ge=0)
    code_bytes: int | Unavailable


class Report(_Section):
    """One build, `report.json`.

    Attributes:
        schema_name: `edgec-report/1`; the key in the file is `schema`.
        edgec: version that wrote the report.
        model: the model as it was given.
        target: the device.
        build: options, seed and tools of the build.
        assumptions: what edgec decided for the user ("batch of `input` set to 1").
        passes: the pipeline's trace.
        verification: how the artefact was compared with the reference.
        metrics: the totals.
        memory: memory by owner, or why it is not known.
        layers: kernel calls in order of execution.
        reconciliation: how layers add up to the latency; absent where a latency is unavailable.
        fallbacks: nodes lowered in a slow or unexpected way.
        audit: what passes that are not exact did to the outputs on evaluation data; absent without them or it.
    """

    schema_name: Literal["edgec-report/1"] = Field(default="edgec-report/1", alias="schema")
    edgec: str
    model: ModelSection
    target: TargetSection
    build: BuildSection
    assumptions: tuple[str, ...] = ()
    passes: tuple[PassRecord, ...]
    verification: Verification
    metrics: Metrics
    memory: MemoryByOwner | Unavailable
    layers: tuple[Layer, ...]
    reconciliation: Reconciliation | None = None
    fallbacks: tuple[FallbackRow, ...]
    audit: AnswerAudit | ErrorAudit | None = None

    @property
    def final_size(self) -> ModelSize:
        """Size of the model after the last pass."""
        if self.passes:
            return self.passes[-1].after
        return ModelSize(macs=self.model.macs, parameters=self.model.parameters, bytes=self.model.bytes)

    @model_validator(mode="after")
    def _numbers_are_finite(self) -> Self:
        for path, number in _numbers(self, "$"):
            if not math.isfinite(number):
                raise ValueError(f"{path} is {number}, not a finite number")
        return self

    @model_validator(mode="after")
    def _layers_add_up(self) -> Self:
        expected = layer_latency_sum(self.layers)
        total = self.metrics.latency_ms
        if expected is None or isinstance(total, Unavailable):
            if self.reconciliation is not None:
                raise ValueError("reconciliation is given although a latency is unavailable")
            return self
        if self.reconciliation is None:
            raise ValueError("reconciliation is missing although the total and every layer have a latency")
        stated = self.reconciliation
        if not _close(stated.layers_ms, expected):
            raise ValueError(f"layers add up to {expected} ms, reconciliation states {stated.layers_ms} ms")
        scale = max(abs(stated.layers_ms), abs(total.value))
        if abs(stated.layers_ms + stated.between_layers_ms - total.value) > SUM_TOLERANCE * scale:
            raise ValueError(
                f"{stated.layers_ms} ms in layers and {stated.between_layers_ms} ms between them "
                f"do not add up to the latency of {total.value} ms"
            )
        return self

    @model_validator(mode="after")
    def _shares_are_true(self) -> Self:
        total = self.metrics.latency_ms
        for layer in self.layers:
            if layer.share is None:
                continue
            if isinstance(total, Unavailable) or isinstance(layer.latency_ms, Unavailable):
                raise ValueError(f"layer {layer.name} has a share of a latency that is unavailable")
            if not _close(layer.share * total.value, layer.latency_ms.value):
                raise ValueError(f"layer {layer.name}: {layer.share} is not its share of {total.value} ms")
        return self


def layer_latency_sum(layers: tuple[Layer, ...]) -> float | None:
    """Sum of the latencies in milliseconds; None if there is no layer or one has no latency."""
    latencies = [layer.latency_ms.value for layer in layers if isinstance(layer.latency_ms, Value)]
    if not layers or len(latencies) != len(layers):
        return None
    return math.fsum(latencies)


def reconcile(
    latency: Metric, layers: tuple[Layer, ...], *, overhead_ms: float = 0.0, explanation: str = ""
) -> Reconciliation | None:
    """The row between the layers' sum and the total; None where a latency is unavailable.

    Args:
        latency: the total.
        layers: every layer.
        overhead_ms: how much time between layers the meter accounts for.
        explanation: what that time is; required if it exceeds `overhead_ms`.
    """
    layers_ms = layer_latency_sum(layers)
    if layers_ms is None or isinstance(latency, Unavailable):
        return None
    between = latency.value - layers_ms
    if _close(latency.value, layers_ms):
        between = 0.0
    return Reconciliation(
        layers_ms=layers_ms, between_layers_ms=between, overhead_ms=overhead_ms, explanation=explanation
    )


def with_shares(latency: Metric, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers with their shares of the total latency filled in where both are known."""
    if isinstance(latency, Unavailable) or latency.value <= 0:
        return layers
    return tuple(
        layer.model_copy(update={"share": layer.latency_ms.value / latency.value})
        if isinstance(layer.latency_ms, Value)
        else layer
        for layer in layers
    )


def _close(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=SUM_TOLERANCE, abs_tol=1e-12)


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    """Every float in a tree of models, tuples and JSON values, with its JSON path."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _numbers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{path}[{index}]")
