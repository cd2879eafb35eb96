"""Steps whose outputs nobody reads: an operator may find a better way to a value than the nodes before it prepared."""

from __future__ import annotations

from collections.abc import Iterator

from edgec.backends.tvm.fusion import nested_blocks, values_read
from edgec.backends.tvm.kernel_graph import Block, Operation, Step, Value, View


def without_dead_steps(block: Block) -> Block:
    """The block without the operations and views that contribute to no result, branch or loop."""
    needed, kept = set(block.results), list[Step]()
    for step in reversed(block.steps):
        made = _made(step)
        if made is not None and not needed.intersection(made):
            continue
        kept.append(step)
        needed.update(_read(step))
    return Block(block.parameters, block.results, kept[::-1])


def _made(step: Step) -> tuple[Value, ...] | None:
    """What a step makes; None if it stays in any case."""
    match step:
        case Operation():
            return step.outputs
        case View():
            return (step.result,)
        case _:
            return None


def _read(step: Step) -> Iterator[Value]:
    yield from values_read(step)
    for block in nested_blocks(step):
        yield from block.results
        for inner in block.steps:
            yield from _read(inner)
