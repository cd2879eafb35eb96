"""Kernel graphs with branches and loops over x, of shape (4, 6)."""

from __future__ import annotations

import numpy as np

from edgec.backends.tvm.kernel_graph import Block, Conditional, Repeat, View
from tests.backends import kernel_graphs as make


def branch_net() -> Block:
    """y = flag ? x + 1 : x, with an inner value and a result that no branch makes."""
    x, flag = make.value("x", (4, 6)), make.value("flag", (), "bool")
    doubled, taken = make.value("doubled", (4, 6)), make.value("taken", (4, 6))
    y, same = make.value("y", (4, 6)), make.value("same", (4, 6))
    then_block = Block((), (taken, x), [make.binary("Add_then", "add", doubled, make.constant("one", 1.0), taken)])
    steps = [
        make.binary("Mul_1", "multiply", x, make.constant("two", 2.0), doubled),
        Conditional("If_1", flag, then_block, Block((), (doubled, doubled)), (y, same)),
    ]
    return Block((x, flag), (y, same), steps)


def loop_net(*, backwards: bool = False, trip_count: bool = False) -> Block:
    """Carries a sum and the previous slice of x, which swap their places' meanings, and collects the sums.

    state' = state + slice; previous' = state (a carried value handed on); collected = state'.
    """
    x = make.value("x", (4, 6))
    count = make.value("count", (), "int64")
    iteration, running = make.value("i", (), "int64"), make.value("running", (), "bool")
    state, previous, part = make.value("state", (6,)), make.value("previous", (6,)), make.value("part", (6,))
    following = make.value("following", (6,))
    body = Block(
        (iteration, running, state, previous, part),
        (running, following, state, following),
        [make.binary("Add_body", "add", state, part, following)],
    )
    final, before, sums = make.value("final", (6,)), make.value("before", (6,)), make.value("sums", (4, 6))
    start = make.constant("start", np.ones(6))
    loop = Repeat(
        node="Loop_1",
        trips=4,
        trip_count=count if trip_count else None,
        condition=None,
        tests_condition=False,
        body=body,
        carried=(start, start),
        carried_outputs=(final, before),
        scanned=(x,),
        scanned_reversed=(backwards,),
        collected=() if trip_count else (sums,),
        collected_reversed=() if trip_count else (backwards,),
    )
    if trip_count:
        body.results = body.results[:3]
        return Block((x, count), (final, before), [loop])
    return Block((x,), (final, before, sums), [loop])


def while_net() -> Block:
    """Doubles the state until its first element exceeds 10; a loop in a loop would be the same."""
    x, first_condition = make.value("x", (1,)), make.constant("true", True, "bool")
    iteration, running, state = make.value("i", (), "int64"), make.value("running", (), "bool"), make.value("s", (1,))
    doubled, small = make.value("doubled", (1,)), make.value("small", (1,), "bool")
    again = make.value("again", (), "bool")
    body = Block(
        (iteration, running, state),
        (again, doubled),
        [
            make.binary("Mul_body", "multiply", state, make.constant("two", 2.0), doubled),
            make.binary("Less_body", "less", doubled, make.constant("ten", 10.0), small),
            View("Reshape_body", small, again),
        ],
    )
    final = make.value("final", (1,))
    loop = Repeat("Loop_1", 100, None, first_condition, True, body, (x,), (final,), (), (), (), ())
    return Block((x,), (final,), [loop])


def nested_loop_net() -> Block:
    """total = the sum over the rows of x of 2^3 times the row: a loop of three doublings in a loop over rows."""
    x = make.value("x", (4, 6))
    i, running = make.value("i", (), "int64"), make.value("running", (), "bool")
    j, inner_running = make.value("j", (), "int64"), make.value("inner_running", (), "bool")
    total, row, state, doubled = (make.value(name, (6,)) for name in ("total", "row", "state", "doubled"))
    inner_body = Block(
        (j, inner_running, state),
        (inner_running, doubled),
        [make.binary("Add_inner", "add", state, state, doubled)],
    )
    eightfold, following = make.value("eightfold", (6,)), make.value("following", (6,))
    inner = Repeat("Inner", 3, None, None, False, inner_body, (row,), (eightfold,), (), (), (), ())
    body = Block(
        (i, running, total, row),
        (running, following, eightfold),
        [inner, make.binary("Add_outer", "add", total, eightfold, following)],
    )
    final, rows = make.value("final", (6,)), make.value("rows", (4, 6))
    start = make.constant("start", np.zeros(6))
    outer = Repeat("Outer", 4, None, None, False, body, (start,), (final,), (x,), (False,), (rows,), (False,))
    return Block((x,), (final, rows), [outer])
