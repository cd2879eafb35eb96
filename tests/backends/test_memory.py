"""The memory plan: small, aligned, and never a value overwritten while it is needed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from edgec.backends.tvm.constants import ALIGNMENT
from edgec.backends.tvm.fusion import FusedBlock, KernelGroup, fuse
from edgec.backends.tvm.kernel_graph import Block, Repeat, Value, View
from edgec.backends.tvm.memory import MemoryPlan, Region, plan_memory
from tests.backends import kernel_graphs as make


def long_chain(length: int) -> Block:
    """Products one after the other, each 4 KiB."""
    start = make.value("x", (32, 32))
    weights = make.constant("w", np.eye(32))
    steps, last = [], start
    for index in range(length):
        following = make.value(f"v{index}", (32, 32))
        steps.append(make.matrix_product(f"MatMul_{index}", last, weights, following))
        last = following
    return Block((start,), (last,), list(steps))


def test_a_chain_needs_two_buffers_however_long_it_is() -> None:
    assert plan_memory(fuse(long_chain(20)), {}).arena_bytes == 2 * 32 * 32 * 4


def test_results_are_made_in_the_callers_memory() -> None:
    block = fuse(long_chain(3))
    plan = plan_memory(block, {})
    assert plan.place(block.results[0]).region is Region.OUTPUT
    assert plan.output_copies == {}


def test_equal_constants_are_stored_once_and_aligned() -> None:
    x, a, b = make.value("x", (4, 6)), make.value("a", (4, 6)), make.value("b", (4, 6))
    one, same, other = make.constant("one", np.ones(6)), make.constant("same", np.ones(6)), make.constant("two", [2.0])
    steps = [make.binary("Add", "add", x, one, a), make.binary("Add2", "add", a, same, b)]
    result = make.value("c", (4, 6))
    steps.append(make.binary("Mul", "multiply", b, other, result))
    block = fuse(Block((x,), (result,), list(steps)))
    plan = plan_memory(block, {})
    places = [plan.place(value) for value in (one, same, other)]
    assert places[0] == places[1]
    assert places[2].offset % ALIGNMENT == 0
    assert plan.constants.contents[:24] == np.ones(6, "float32").tobytes()
    assert len(plan.constants.contents) == 2 * ALIGNMENT


def test_a_sum_is_written_over_the_operand_that_dies() -> None:
    x, a, b, c, d = (make.value(name, (32, 32)) for name in "xabcd")
    weights = make.constant("w", np.eye(32))
    steps = [
        make.matrix_product("first", x, weights, a),
        make.matrix_product("second", a, weights, b),
        make.matrix_product("third", b, weights, c),
        make.binary("residual", "add", c, a, d),
        make.matrix_product("last", d, weights, make.value("y", (32, 32))),
    ]
    block = fuse(Block((x,), steps[-1].outputs, list(steps)))
    plan = plan_memory(block, {})
    assert plan.place(d) == plan.place(a)
    assert plan.arena_bytes == 2 * 32 * 32 * 4


def test_an_operand_that_is_also_the_left_side_of_the_product_is_not_written_over() -> None:
    x, a, b, c = (make.value(name, (32, 32)) for name in "xabc")
    weights = make.constant("w", np.eye(32))
    steps = [
        make.matrix_product("first", x, weights, a),
        make.matrix_product("second", a, weights, b),
        make.binary("residual", "add", b, a, c),
        make.matrix_product("last", c, weights, make.value("y", (32, 32))),
    ]
    plan = plan_memory(fuse(Block((x,), steps[-1].outputs, list(steps))), {})
    assert plan.place(c) != plan.place(a)


def test_scratch_shares_the_arena_with_values_that_are_dead() -> None:
    block = fuse(long_chain(4))
    groups = [step for step in block.steps if isinstance(step, KernelGroup)]
    plan = plan_memory(block, {groups[0]: 1000})
    assert plan.arena_bytes == 2 * 32 * 32 * 4
    assert plan.scratch[groups[0]] == 4096


def test_what_a_loop_reads_from_outside_survives_its_last_reader() -> None:
    x, outside = make.value("x", (4, 6)), make.value("outside", (4, 6))
    i, running, state = make.value("i", (), "int64"), make.value("running", (), "bool"), make.value("state", (4, 6))
    first, second, third = (make.value(name, (4, 6)) for name in ("first", "second", "third"))
    body = Block(
        (i, running, state),
        (running, third),
        [
            make.matrix_product("uses", outside, make.constant("w", np.eye(6)), first),
            make.matrix_product("later", first, make.constant("w", np.eye(6)), second),
            make.binary("latest", "add", second, state, third),
        ],
    )
    final = make.value("final", (4, 6))
    loop = Repeat("Loop", 3, None, None, False, body, (x,), (final,), (), (), (), ())
    result = make.value("result", (4, 6))
    block = fuse(
        Block(
            (x,),
            (result,),
            [make.unary("before", "exp", x, outside), loop, make.unary("after", "exp", final, result)],
        )
    )
    plan = plan_memory(block, {})
    kept = plan.place(outside)
    for value in (first, third):
        place = plan.place(value)
        assert place.region is not Region.ARENA or abs(place.offset - kept.offset) >= outside.size_bytes


def storage(plan: MemoryPlan, memory: dict[tuple[Region, int], np.ndarray], value: Value) -> np.ndarray:
    place = plan.place(value)
    return memory[place.region, place.index][place.offset : place.offset + value.size_bytes]


def replay(block: FusedBlock, plan: MemoryPlan) -> None:
    """Run the plan with kernels that write their value's tag, and check the tags of all that they read."""
    memory = {(Region.ARENA, 0): np.zeros(plan.arena_bytes, np.int32)}
    memory |= {(Region.INPUT, i): np.zeros(v.size_bytes, np.int32) for i, v in enumerate(block.parameters)}
    memory |= {(Region.OUTPUT, i): np.zeros(v.size_bytes, np.int32) for i, v in enumerate(block.results)}
    tags: dict[Value, int] = {}

    def check(value: Value) -> None:
        if value.data is None:
            assert np.all(storage(plan, memory, value) == tags[value]), value.name

    for value in block.parameters:
        tags[value] = 1
        storage(plan, memory, value)[:] = 1
    for number, step in enumerate(block.steps, start=2):
        if isinstance(step, KernelGroup):
            for value in step.inputs:
                check(value)
            for value in step.outputs:
                assert plan.place(value).region not in (Region.INPUT, Region.CONSTANTS)
                assert plan.place(value).offset % ALIGNMENT == 0
                tags[value] = number
                storage(plan, memory, value)[:] = number
        else:
            assert isinstance(step, View)  # it reads nothing: its source may already be dead
            if step.source.data is None:
                tags[step.result] = tags[step.source]
    for value in block.results:
        check(value)


@settings(max_examples=300, deadline=None)
@given(make.blocks())
def test_no_value_is_overwritten_before_its_last_reader(block: Block) -> None:
    fused = fuse(block)
    replay(fused, plan_memory(fused, {}))
