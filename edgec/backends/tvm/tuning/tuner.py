"""Tuning a network: from its contractions to the records of how each is best computed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import onnx_ir as ir

from edgec.backends.tuning import Board, Samples, TuningRequest, TuningUse
from edgec.backends.tvm.code_generation import groups_in_order, make_kernels, strides_of
from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.dead_steps import without_dead_steps
from edgec.backends.tvm.fusion import FusedBlock, FusedRepeat, KernelGroup, fuse
from edgec.backends.tvm.implementation import Choices, Contraction, Implementation
from edgec.backends.tvm.memory import plan_memory
from edgec.backends.tvm.model_lowering import lower_graph
from edgec.backends.tvm.overlays import lay_over
from edgec.backends.tvm.tuning.comparison import Comparison, compare
from edgec.backends.tvm.tuning.database import (
    TuningRecord,
    context_of,
    read_records,
    records_for,
    write_records,
)
from edgec.backends.tvm.tuning.search import Pair, Site, search, waiting_ways
from edgec.backends.tvm.tuning.trial_program import Trial, trial_program
from edgec.core.progress import Progress
from edgec.core.target import Target

_WIDTH = 8
_PROCESSES = 3


@dataclass(frozen=True)
class Tuned:
    """What measurements say about a network.

    Attributes:
        choices: how its contractions are computed.
        records: what they rest on.
    """

    choices: Choices
    records: tuple[TuningRecord, ...]

    @property
    def sha256(self) -> str:
        """Digest of the records."""
        lines = sorted(record.line() for record in self.records)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def use(self, block: FusedBlock) -> TuningUse:
        """What became of the choices in a network after fusion."""
        made = [group.anchor.choice for group in groups_in_order(block) if group.anchor.choice is not None]
        gained = {record.contraction for record in self.records if record.cost < record.default_cost}
        sources = Counter((record.machine, record.unit) for record in self.records)
        return TuningUse(
            kernels=len(made),
            tuned=sum(choice.contraction in gained for choice in made),
            sha256=self.sha256,
            source=tuple(f"{unit} of {machine}" for machine, unit in sorted(sources)),
        )


def tune(model: ir.Model, target: Target, threads: int, request: TuningRequest, progress: Progress) -> Tuned:
    """Choose by measurement how the contractions of a model are computed, or take what a database says.

    Args:
        model: with static shapes and integer operators formed.
        target: the device.
        threads: threads of an inference.
        request: budget, database and boards.
        progress: told of the measurements.

    Raises:
        EdgecError: EC0404 for a damaged database, EC065x for a board that fails.
    """
    context, described = context_of(target, threads)
    core = CoreDescription.of(target)
    database = read_records(request.database)
    known = records_for(database, context, core, request.database)
    if not known and database:
        progress.note(f"none of the {len(database)} records of {request.database} is for this core and compiler")
    if request.measurements:
        progress.start(f"tune for {target.name}", total=request.measurements)
        laboratory = _Laboratory(model, target, threads, request.boards)
        sites = _measured_sites(laboratory, core, known)
        width = _WIDTH * len(request.boards)
        search(sites, request.measurements, width, laboratory.measure, progress.advance)
        machine, unit = request.boards[0].name, request.boards[0].unit
        made = {site.contraction: _record(site, (context, described), machine, unit, known) for site in sites}
        known |= made
        write_records(request.database, {record.key: record for record in made.values()})
    present = {site for site, _ in _contractions(_fused(model, core, {}))}
    used = tuple(record for contraction, record in known.items() if contraction in present)
    return Tuned({record.contraction: record.implementation for record in used}, used)


def _record(
    site: Site,
    context: tuple[str, str],
    machine: str,
    unit: str,
    known: Mapping[Contraction, TuningRecord],
) -> TuningRecord:
    earlier = known.get(site.contraction)
    if earlier is not None and not site.confirmed:
        return earlier.model_copy(update={"tried": site.tried})
    return TuningRecord(
        context=context[0],
        core=context[1],
        contraction=site.contraction,
        implementation=site.best,
        cost=site.default_cost * site.ratio,
        default_cost=site.default_cost,
        unit="nanoseconds" if unit == "nanoseconds" else "instructions",
        machine=machine,
        tried=site.tried,
    )


def _fused(model: ir.Model, core: CoreDescription, choices: Choices) -> FusedBlock:
    graph = lower_graph(model, core, "trial", choices)
    return fuse(lay_over(without_dead_steps(graph.main)))


def _contractions(block: FusedBlock, calls: int = 1) -> Iterable[tuple[Contraction, int]]:
    """Each contraction with a choice, as often as it is called for, and the calls."""
    for step in block.steps:
        if isinstance(step, KernelGroup) and step.anchor.choice is not None:
            yield step.anchor.choice.contraction, calls
        elif isinstance(step, FusedRepeat):
            yield from _contractions(step.body, calls * step.source.trips)


def _defaults(block: FusedBlock) -> dict[Contraction, Implementation]:
    choices = (group.anchor.choice for group in groups_in_order(block))
    return {choice.contraction: choice.implementation for choice in choices if choice is not None}


def _measured_sites(
    laboratory: _Laboratory, core: CoreDescription, known: Mapping[Contraction, TuningRecord]
) -> list[Site]:
    """A site for every contraction, with what its default costs; a known record takes the place of the default."""
    block = laboratory.block({})
    calls: Counter[Contraction] = Counter()
    for contraction, count in _contractions(block):
        calls[contraction] += count
    defaults = {site: way for site, way in _defaults(block).items() if site in calls}
    current = {site: known[site].implementation if site in known else way for site, way in defaults.items()}
    costs = laboratory.costs(list(current.items()))
    return [
        Site(
            contraction=contraction,
            calls=calls[contraction],
            default=way,
            waiting=waiting_ways(contraction, way, core, known[contraction].tried if contraction in known else 0),
            tried=known[contraction].tried if contraction in known else 0,
            default_cost=costs[contraction],
            best=way,
        )
        for contraction, way in current.items()
    ]


class _Laboratory:
    """Makes kernels of a model, has boards time them, and compares.

    Args:
        model: the network.
        target: the device.
        threads: threads of an inference.
        boards: where the programs run, side by side.
    """

    def __init__(self, model: ir.Model, target: Target, threads: int, boards: Sequence[Board]) -> None:
        self._model, self._target, self._threads, self._boards = model, target, threads, boards
        self._core = CoreDescription.of(target)
        memory = plan_memory(self.block({}), {})
        self._network_bytes = len(memory.constants.contents) + memory.arena_bytes

    def block(self, choices: Choices) -> FusedBlock:
        """The model after fusion, its contractions computed as chosen."""
        return _fused(self._model, self._core, choices)

    def costs(self, pairs: Sequence[Pair]) -> dict[Contraction, float]:
        """What ways of different contractions cost."""
        found: dict[Contraction, float] = {}
        for start in range(0, len(pairs), _WIDTH):
            part = pairs[start : start + _WIDTH]
            samples, _ = self._time(self._boards[0], self._trials(part, "c"))
            found |= {
                contraction: sorted(taken)[len(taken) // 2]
                for (contraction, _), taken in zip(part, samples, strict=True)
            }
        return found

    def measure(self, pairs: Sequence[Pair], others: Choices) -> list[Comparison | None]:
        """Compare each way with another one of its contraction; every board takes a part."""
        share = -(-len(pairs) // len(self._boards))
        parts = [pairs[start : start + share] for start in range(0, len(pairs), share)]
        # TVM is not safe to call from several threads: kernels are made here, one program after the other.
        prepared = [(board, self._duels(part, others)) for board, part in zip(self._boards, parts, strict=False)]
        with ThreadPoolExecutor(len(prepared)) as pool:
            done = [pool.submit(_runs, board, program, 2 * count) for board, (program, count, _) in prepared]
            results = [future.result() for future in done]
        return [
            None if place in slow else compare([(run[place], run[count + place]) for run in runs])
            for runs, (_, (_, count, slow)) in zip(results, prepared, strict=True)
            for place in range(count)
        ]

    def _duels(self, pairs: Sequence[Pair], others: Choices) -> tuple[bytes, int, frozenset[int]]:
        """A program for ways and, after them, what each is compared with; and the places of ways without a schedule."""
        trials = self._trials(pairs, "a") + self._trials([(site, others[site]) for site, _ in pairs], "b")
        program = trial_program(trials, self._target, self._threads, self._network_bytes)
        slow = {place for place, trial in enumerate(trials) if trial.kernel.fallback_reason is not None}
        return program.contents, len(pairs), frozenset(slow) | program.unscheduled

    def _time(self, board: Board, trials: Sequence[Trial]) -> tuple[Samples, frozenset[int]]:
        program = trial_program(trials, self._target, self._threads, self._network_bytes)
        return board.run(program.contents, len(trials)), program.unscheduled

    def _trials(self, pairs: Sequence[Pair], prefix: str) -> list[Trial]:
        """A kernel for each way; the model is lowered as often as one contraction occurs."""
        trials: dict[int, Trial] = {}
        waiting = list(enumerate(pairs))
        while waiting:
            wave = {contraction: (place, way) for place, (contraction, way) in reversed(waiting)}
            block = self.block({contraction: way for contraction, (_, way) in wave.items()})
            for contraction, (place, _) in wave.items():
                trials[place] = self._trial(block, contraction, f"{prefix}{place}")
            taken = {place for place, _ in wave.values()}
            waiting = [(place, pair) for place, pair in waiting if place not in taken]
        return [trials[place] for place in range(len(pairs))]

    def _trial(self, block: FusedBlock, contraction: Contraction, name: str) -> Trial:
        """The kernel of the first group that computes a contraction, with what is fused to it."""
        from edgec.backends.tvm.schedules.rules import schedule

        group = next(
            group
            for group in groups_in_order(block)
            if group.anchor.choice is not None and group.anchor.choice.contraction == contraction
        )
        strides = strides_of(block)
        in_place = plan_memory(block, {}).in_place
        kernels = make_kernels([group], strides, in_place, name, self._core, self._threads, schedule, lambda: None)
        return Trial(kernels[group], group, strides)


def _runs(board: Board, program: bytes, kernels: int) -> list[Samples]:
    """What several processes measure; counts are alike in all."""
    return [board.run(program, kernels) for _ in range(_PROCESSES if board.unit == "nanoseconds" else 1)]
