"""A build is a value: files, commands and tools, made without touching the disk, executed by one executor."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.backends.tuning import TuningRequest, TuningUse
from edgec.core.codes.backend import NO_KERNELS, NOT_TUNABLE
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface as Interface
from edgec.core.progress import Progress
from edgec.core.target import Target


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KernelKind(StrEnum):
    """What a kernel does, as far as its speed depends on it.

    Attributes:
        DENSE: a convolution over all channels (of its group) with more than one tap.
        DENSE_3X3: one of 3x3 and stride 1 over 16 channels or more, which engines filter (Winograd).
        POINTWISE: a convolution of one tap, or a product of matrices.
        DEPTHWISE: a convolution of each channel by itself.
        VECTOR: a product by one vector: each weight is read for one use.
        MOVEMENT: nothing is computed; data is copied, cut, joined or permuted.
        TRANSCENDENTAL: exponentials, logarithms and the like for each element.
        OTHER: anything else.
    """

    DENSE = "dense"
    DENSE_3X3 = "dense-3x3"
    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    VECTOR = "vector"
    MOVEMENT = "movement"
    TRANSCENDENTAL = "transcendental"
    OTHER = "other"


class PlannedLayer(_Record):
    """One kernel call of the artefact, in order of execution.

    Attributes:
        name: the ONNX node that gives the kernel its name (its anchor).
        op: ONNX operator of the anchor.
        nodes: every ONNX node that the kernel computes, in order.
        macs: multiply-accumulates per inference.
        bytes: bytes of weights and activations that the kernel reads and writes once each.
        calls: how often the kernel runs per inference (more than once inside a loop).
        precision: element type that the anchor reads, and so computes with.
        kind: what the kernel does.
        weight_bytes: the share of `bytes` that is constants.
        depth: input channels that an output element sums over; 0 where nothing is summed.
        elements: elements of the first result.
        filtered: whether a convolution is computed by minimal filtering (Winograd), its weights transformed.
        transcendentals: elements put through transcendental functions, those of fused activations too.
        channels: innermost extent of the first result as it lies in memory.
        vectors: vector registers that a row of `channels` fills, the last one perhaps in part; 0 where that is open.
        share: the share of inferences that run the kernel: less than 1 in a branch, where either is as likely.
    """

    name: str
    op: str
    nodes: tuple[str, ...]
    macs: int
    bytes: int
    calls: int = 1
    precision: str = "float32"
    kind: KernelKind = KernelKind.OTHER
    weight_bytes: int = 0
    depth: int = 0
    elements: int = 0
    filtered: bool = False
    transcendentals: int = 0
    channels: int = 1
    vectors: int = 0
    share: float = 1.0


class Fallback(_Record):
    """A node that is lowered in a way the user would not expect, why, and what would help."""

    node: str
    reason: str
    hint: str


class MemoryUse(_Record):
    """Memory of the artefact by owner, in bytes.

    Attributes:
        weights_bytes: constants in the read-only section.
        activations_bytes: peak of the arena that holds intermediate tensors.
        scratch_bytes: work space of the kernels beyond the arena.
    """

    weights_bytes: int
    activations_bytes: int
    scratch_bytes: int


@dataclass(frozen=True)
class Tool:
    """A program that a plan needs: how to find it, and what to type if it is missing."""

    name: str
    arguments: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Command:
    """One step of the execution: a tool, its arguments, and the file that it must leave behind."""

    tool: str
    arguments: tuple[str, ...]
    produces: str
    description: str


@dataclass(frozen=True)
class BuildPlan:
    """Everything that makes an artefact.

    Attributes:
        files: contents by path relative to the artefact.
        commands: run in order, in the folder of the artefact.
        tools: what the commands need, by name.
        discard: paths that only the commands need; removed at the end.
        interface: how to call the result.
        layers: kernel calls in order.
        fallbacks: nodes lowered in a slow or unexpected way.
        memory: bytes by owner.
        library: path of the library that goes to the device.
        tuning: what was chosen by measurement; None if the build did not ask for it.
    """

    files: Mapping[str, bytes]
    commands: tuple[Command, ...]
    tools: tuple[Tool, ...]
    discard: tuple[str, ...]
    interface: Interface
    layers: tuple[PlannedLayer, ...]
    fallbacks: tuple[Fallback, ...]
    memory: MemoryUse
    library: str
    tuning: TuningUse | None = None

    def digest(self) -> str:
        """SHA-256 over the files and the commands: equal plans have equal digests."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(f"{path}\0{len(self.files[path])}\0".encode())
            digest.update(self.files[path])
        digest.update(repr(self.commands).encode())
        return digest.hexdigest()


class Backend(ABC):
    """Turns a model and a target into a build plan."""

    name: ClassVar[str]
    prerequisites: ClassVar[tuple[str, ...]] = ()
    """Passes that must have run; the pipeline appends those that the recipe lacks."""
    has_threads: ClassVar[bool] = False
    """Whether an inference can be split over threads; where it is not, more than one is refused."""

    def tuned_by(self, request: TuningRequest) -> Backend:
        """This backend, with choices made by measurement.

        Raises:
            EdgecError: EC0405 where there is nothing to choose.
        """
        raise EdgecError(
            NOT_TUNABLE, f"the backend {self.name} chooses nothing by measurement", hint="build without --tune"
        )

    @abstractmethod
    def unsupported(self, model: ir.Model, target: Target) -> tuple[Fallback, ...]:
        """Every node that cannot be lowered, with the reason and what would help; empty if all can."""

    def layers(self, model: ir.Model, target: Target) -> tuple[PlannedLayer, ...]:
        """The kernel calls of `plan`, without making any code.

        Raises:
            EdgecError: EC0401 with every unsupported node in `details`; EC0406 where the backend has no kernels.
        """
        what = f"the backend {self.name} of {target.name} does not compute by kernels"
        raise EdgecError(NO_KERNELS, what, hint=NO_KERNELS.remedy)

    @abstractmethod
    def plan(self, model: ir.Model, target: Target, *, name: str, threads: int, progress: Progress) -> BuildPlan:
        """Lower the model.

        Raises:
            EdgecError: EC0401 with every unsupported node in `details`.
        """
