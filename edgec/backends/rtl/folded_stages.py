"""Which engines a folded network has, and in which order each reads and gives its elements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from edgec.backends.rtl.integer_graph import (
    Affine,
    Clamped,
    Input,
    IntegerGraph,
    Integers,
    Largest,
    Operation,
    Rearranged,
    Requantised,
)
from edgec.backends.rtl.signs import Sign
from edgec.core.codes.hardware import DOES_NOT_FIT
from edgec.core.errors import EdgecError


@dataclass(frozen=True, eq=False)
class Stage:
    """An engine: a sum of products, a largest of some, or a sum of two; then what happens to single elements.

    Attributes:
        operation: the first operation.
        after: elementwise operations that follow it, and that nobody else reads.
        sources: positions of the stages that it reads.
        reads: [steps, terms] for each source: which of the source's elements, in its order of production; -1 for zero.
        produced: element of the value that each result is, in the order of production.
        value: position of its last operation.
    """

    operation: Operation
    after: tuple[Operation, ...]
    sources: tuple[int, ...]
    reads: tuple[Integers, ...]
    produced: Integers
    value: int


@dataclass
class _Stages:
    """Stages while they are formed.

    Attributes:
        stages: in order; the first is the input.
        of_value: for each value the stage that makes it and, for each element, its place in the order of production.
    """

    stages: list[Stage] = field(default_factory=list)
    of_value: dict[int, tuple[int, Integers]] = field(default_factory=dict)


def form_stages(graph: IntegerGraph) -> tuple[Stage, ...]:
    """Engines of a network, in order; permutations become part of what the next engine reads."""
    found = _Stages()
    readers = [
        [at for at, o in enumerate(graph.operations) if position in o.sources]
        for position in range(len(graph.operations))
    ]
    done: set[int] = set()
    for position, operation in enumerate(graph.operations):
        if position in done:
            continue
        if isinstance(operation, Rearranged):
            stage, places = found.of_value[operation.sources[0]]
            found.of_value[position] = (stage, places[operation.reads])
            continue
        after: list[Operation] = []
        last = position
        while not isinstance(operation, Input) and _may_follow(graph, readers, last):
            last = readers[last][0]
            done.add(last)
            after.append(graph.operations[last])
        _add_stage(found, position, operation, tuple(after), last)
    if found.of_value[graph.outputs[0].value][0] != len(found.stages) - 1:
        raise _refused("the output is not the last value", "folded networks")
    return _with_output_order(found, graph.outputs[0].value)


def _may_follow(graph: IntegerGraph, readers: list[list[int]], position: int) -> bool:
    if len(readers[position]) != 1 or position in {border.value for border in graph.outputs}:
        return False
    follower = graph.operations[readers[position][0]]
    return isinstance(follower, Requantised | Clamped | Sign)


def _with_output_order(found: _Stages, output: int) -> tuple[Stage, ...]:
    """The last stage, knowing where its results stand in the output, which may be a permutation of its value."""
    _, places = found.of_value[output]
    produced = np.empty_like(places)
    produced[places] = np.arange(len(places))
    return (*found.stages[:-1], replace(found.stages[-1], produced=produced))


def _add_stage(found: _Stages, position: int, operation: Operation, after: tuple[Operation, ...], last: int) -> None:
    sources = tuple(found.of_value[source][0] for source in operation.sources)
    places = tuple(np.append(found.of_value[source][1], -1) for source in operation.sources)
    produced = np.arange(operation.size)
    match operation:
        case Affine():
            groups, positions, terms = operation.reads.shape
            reads: tuple[Integers, ...] = (places[0][operation.reads].reshape(groups * positions, terms),)
            produced = operation.place.ravel()
        case Largest():
            reads = (places[0][operation.reads],)
        case Input():
            reads = ()
        case _:
            reads = tuple(place[:-1, None] for place in places)
    found.stages.append(Stage(operation, after, sources, reads, produced, last))
    order = np.empty(operation.size, np.int64)
    order[produced] = np.arange(operation.size)
    found.of_value[last] = (len(found.stages) - 1, order)


def _refused(what: str, where: str) -> EdgecError:
    return EdgecError(DOES_NOT_FIT, what, where=where, hint=DOES_NOT_FIT.remedy)
