"""The verb `build`: from a trained model to a verified artefact and its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
from pydantic import BaseModel, ConfigDict

from edgec.backends.executor import execute
from edgec.backends.plan import Backend, BuildPlan
from edgec.backends.selection import backend_for
from edgec.backends.tuning import TuningRequest
from edgec.core.artifact import staged
from edgec.core.cache import cache_folder
from edgec.core.codes.backend import NO_THREADS
from edgec.core.errors import EdgecError
from edgec.core.manifest import Provenance, digest_of, write_manifest
from edgec.core.passes import Kind, PassContext
from edgec.core.pipeline import KeepStep, Pipeline, PipelineResult
from edgec.core.progress import Progress
from edgec.core.target import Target
from edgec.core.target_files import load_target, target_sha256
from edgec.core.target_silicon import SiliconOptions
from edgec.core.version import VERSION, tool_versions
from edgec.evaluation import Evaluation, evaluate
from edgec.graph.gate import ReferenceGate
from edgec.graph.load import LoadedModel, load_model
from edgec.graph.save import save_model
from edgec.measure.board import on_board
from edgec.measure.boards import boards_for
from edgec.measure.meters import measure_artifact
from edgec.pass_list import pass_list, size_with_shapes, with_static_inputs
from edgec.report.assembly import BuildFacts, assemble
from edgec.report.files import write_json
from edgec.report.html import write_html
from edgec.report.schema import Report
from edgec.verify import MODEL_FILE, verify_build


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build.

    Attributes:
        model: the ONNX file.
        target: name of a target, or path of a datasheet.
        out: folder of the artefact; replaced as a whole.
        recipe: name of a recipe, or path of one.
        data: specification of the data; None to work on made-up inputs.
        shapes: shapes of inputs by name, for dimensions that the model leaves open.
        threads: threads of an inference.
        seed: seed of every random choice.
        keep_steps: whether to keep the model after each pass.
        tune: kernels to measure, at most, to choose how they are computed.
        tuning_database: file of what was measured; None for the user's own, which is only read if `tune` is not 0.
        boards: where to measure kernels, see `edgec.measure.boards`; empty for this machine or the target's emulator.
        device: the board to verify and measure the artefact on, see `edgec.measure.board`; None for this machine.
        silicon: what a circuit's build may choose.
    """

    model: Path
    target: str
    out: Path
    recipe: str = "exact"
    data: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int = 1
    seed: int = 0
    keep_steps: bool = False
    tune: int = 0
    tuning_database: Path | None = None
    boards: tuple[str, ...] = ()
    device: str | None = None
    silicon: SiliconOptions = field(default_factory=SiliconOptions)


@dataclass(frozen=True)
class BuildResult:
    """The artefact's folder and its report."""

    folder: Path
    report: Report


@dataclass(frozen=True)
class Subject:
    """What a build works on.

    Attributes:
        target: with what the options choose of it.
        loaded: the model as it was given.
        static: the model with its input shapes fixed.
        evaluation: samples, and the data that they come from.
    """

    target: Target
    loaded: LoadedModel
    static: ir.Model
    evaluation: Evaluation


def subject_of(options: BuildOptions) -> Subject:
    """Read target, model and data.

    Raises:
        EdgecError: for whatever of them is not there or not valid.
    """
    target = options.silicon.applied_to(load_target(options.target))
    loaded = load_model(options.model, quantisers=target.is_circuit)
    static = with_static_inputs(loaded.model, options.shapes)
    return Subject(target, loaded, static, evaluate(options.data, static, options.seed))


def run_passes(
    subject: Subject, options: BuildOptions, backend: Backend, progress: Progress, keep_step: KeepStep | None = None
) -> PipelineResult:
    """Run the passes of the recipe on the model, and those that the backend asks for.

    Raises:
        EdgecError: EC03xx for a recipe or a pass that is not there or not valid, and what the passes raise.
    """
    passes = pass_list(options.recipe, options.shapes, backend.prerequisites)
    evaluation = subject.evaluation
    gate = ReferenceGate(seed=options.seed, samples=evaluation.samples)
    context = PassContext(subject.target, evaluation.calibration, evaluation.source, options.seed, progress)
    pipeline = Pipeline(passes, gate, size_with_shapes(options.shapes))
    return pipeline.run(subject.loaded.model, context, keep_step=keep_step)


def build(options: BuildOptions, progress: Progress) -> BuildResult:
    """Compile a model for a target.

    Everything is made in a hidden folder beside `options.out`, which takes its place at the end.

    Raises:
        EdgecError: for whatever keeps the artefact from being whole and right; then nothing is left behind.
    """
    progress.start(f"load {options.model.name}")
    subject = subject_of(options)
    target, loaded, evaluation = subject.target, subject.loaded, subject.evaluation
    backend = _backend(target, options)
    with staged(options.out) as folder:
        keep_step = _keeper(folder) if options.keep_steps else None
        result = run_passes(subject, options, backend, progress, keep_step)
        plan = backend.plan(result.model, target, name=loaded.name, threads=options.threads, progress=progress)
        execute(plan, folder, progress)
        save_model(result.model, folder / MODEL_FILE)
        provenance = _provenance(options, subject, plan)
        write_manifest(folder, edgec=VERSION, provenance=provenance, interface=plan.interface)
        with on_board(options.device, folder, plan.interface, target) as board:
            verification = verify_build(folder, plan.interface, result.model, evaluation.samples, progress, board)
            costs = measure_artifact(folder, plan, target, evaluation.samples, options.threads, progress, board)
        lossy = any(record.modified and record.kind in {Kind.LOSSY, Kind.TRAINED} for record in result.records)
        comparison = evaluation.compare(loaded.model, result.model, progress, audited=lossy)
        facts = BuildFacts(
            provenance=provenance,
            target=target,
            original_size=size_with_shapes(options.shapes)(subject.static),
            threads=options.threads,
            shapes=options.shapes,
            records=result.records,
            verification=verification,
            accuracy=comparison.accuracy,
            audit=comparison.audit,
        )
        report = assemble(facts, plan, costs)
        (folder / "report.json").write_bytes(write_json(report))
        (folder / "report.html").write_bytes(write_html(report))
    return BuildResult(options.out, report)


def _provenance(options: BuildOptions, subject: Subject, plan: BuildPlan) -> Provenance:
    """What the artefact is made from."""
    return Provenance(
        model_name=options.model.stem,
        model_sha256=subject.loaded.sha256,
        target_name=subject.target.name,
        target_sha256=target_sha256(subject.target),
        recipe=Path(options.recipe).stem,
        options_sha256=digest_of(_ResultingOptions.of(options)),
        data_sha256=subject.evaluation.data_sha256,
        plan_sha256=plan.digest(),
        tuning_sha256=None if plan.tuning is None else plan.tuning.sha256,
        seed=options.seed,
        tools=tool_versions(),
    )


def _backend(target: Target, options: BuildOptions) -> Backend:
    """The backend of a target, with choices made by measurement if the options ask for any.

    Raises:
        EdgecError: EC0405 where nothing can be measured or chosen, EC0407 for threads that the backend has no use for.
    """
    backend = backend_for(target)
    if options.threads > 1 and not backend.has_threads:
        what = f"{options.threads} threads were asked for"
        raise EdgecError(NO_THREADS, what, where=target.name, hint=NO_THREADS.remedy)
    if not options.tune and options.tuning_database is None:
        return backend
    boards = boards_for(target, options.boards) if options.tune else ()
    database = options.tuning_database or cache_folder() / "tuning.jsonl"
    return backend.tuned_by(TuningRequest(options.tune, database, boards))


class _ResultingOptions(BaseModel):
    """The options that change the artefact's bytes; where it is written does not."""

    model_config = ConfigDict(frozen=True)

    recipe: tuple[tuple[str, str], ...]
    shapes: dict[str, tuple[int, ...]]
    threads: int
    seed: int
    keep_steps: bool

    @classmethod
    def of(cls, options: BuildOptions) -> _ResultingOptions:
        passes = pass_list(options.recipe, options.shapes, ())
        return cls(
            recipe=tuple((step.name, step.options.model_dump_json()) for step in passes),
            shapes=dict(options.shapes),
            threads=options.threads,
            seed=options.seed,
            keep_steps=options.keep_steps,
        )


def _keeper(folder: Path) -> KeepStep:
    def keep(number: int, name: str, model: ir.Model) -> None:
        place = folder / "passes"
        place.mkdir(exist_ok=True)
        save_model(model, place / f"{number:02}-{name}.onnx")

    return keep
