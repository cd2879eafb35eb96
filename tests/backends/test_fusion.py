"""Fusion: the groups that a user pays for, and that grouping never changes a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, given, settings

from edgec.backends.tvm.code_generation import primitive_function
from edgec.backends.tvm.fusion import FusedBlock, FusedConditional, FusedRepeat, KernelGroup, fuse
from edgec.backends.tvm.kernel_graph import Block, Conditional, Operation, Pattern, Repeat, Value, View
from tests.backends import kernel_graphs as make


def names(block: FusedBlock) -> list[list[str]]:
    return [[operation.node for operation in step.operations] for step in block.steps if isinstance(step, KernelGroup)]


def chain(*steps: Operation, results: Sequence[Value] = (), parameters: Sequence[Value] = ()) -> Block:
    return Block(tuple(parameters), tuple(results) or steps[-1].outputs, list(steps))


X = make.value("x", (4, 6))
W = make.constant("w", np.ones((6, 6)))


def values(*labels: str) -> list[Value]:
    return [make.value(label, (4, 6)) for label in labels]


def test_a_product_takes_its_bias_residual_and_activation() -> None:
    a, b, c, d = values("a", "b", "c", "d")
    block = chain(
        make.matrix_product("MatMul", X, W, a),
        make.binary("bias", "add", a, make.constant("bias", np.ones(6)), b),
        make.binary("residual", "add", b, X, c),
        make.unary("relu", "abs", c, d),
        parameters=(X,),
    )
    assert names(fuse(block)) == [["MatMul", "bias", "residual", "relu"]]


def test_an_activation_that_reads_its_input_twice_stays_with_its_product() -> None:
    a, b, c = values("a", "b", "c")
    block = chain(
        make.matrix_product("MatMul", X, W, a),
        make.unary("sigmoid", "exp", a, b),
        make.binary("mul", "multiply", a, b, c),
        parameters=(X,),
    )
    assert names(fuse(block)) == [["MatMul", "sigmoid", "mul"]]


def test_a_value_with_a_reader_elsewhere_ends_its_group() -> None:
    a, b, c = values("a", "b", "c")
    block = chain(
        make.matrix_product("MatMul", X, W, a),
        make.unary("exp", "exp", a, b),
        make.matrix_product("MatMul2", a, W, c),
        parameters=(X,),
        results=(b, c),
    )
    assert names(fuse(block)) == [["MatMul"], ["exp"], ["MatMul2"]]


def test_two_products_are_never_one_kernel() -> None:
    a, b, c = values("a", "b", "c")
    block = chain(
        make.matrix_product("MatMul", X, W, a),
        make.matrix_product("MatMul2", X, W, b),
        make.binary("add", "add", a, b, c),
        parameters=(X,),
    )
    assert sorted(map(len, names(fuse(block)))) == [1, 2]


def test_a_broadcast_does_not_repeat_an_expensive_function() -> None:
    small, wide = make.value("small", (4, 1)), make.value("wide", (4, 6))
    source = make.value("source", (4, 1))
    block = chain(
        make.unary("exp", "exp", source, small),
        make.binary("mul", "multiply", small, X, wide),
        parameters=(source, X),
    )
    assert names(fuse(block)) == [["exp"], ["mul"]]


def test_nothing_crosses_the_border_of_a_loop_or_branch() -> None:
    a, b, c, result = values("a", "b", "c", "result")
    flag = make.value("flag", (), "bool")
    branch = Block((), (b,), [make.unary("inner", "exp", a, b)])
    block = Block(
        (X, flag),
        (result,),
        [
            make.unary("outer", "exp", X, a),
            Conditional("If", flag, branch, Block((), (X,)), (c,)),
            make.unary("after", "exp", c, result),
        ],
    )
    fused = fuse(block)
    assert names(fused) == [["outer"], ["after"]]
    inner = next(step for step in fused.steps if isinstance(step, FusedConditional))
    assert names(inner.then_block) == [["inner"]]


def test_a_loop_body_is_fused_by_itself() -> None:
    i, running, state, doubled, following = (
        make.value("i", (), "int64"),
        make.value("running", (), "bool"),
        *values("state", "doubled", "following"),
    )
    body = Block(
        (i, running, state),
        (running, following),
        [make.unary("exp", "exp", state, doubled), make.unary("abs", "abs", doubled, following)],
    )
    loop = Repeat("Loop", 3, None, None, False, body, (X,), values("final"), (), (), (), ())
    fused = next(step for step in fuse(Block((X,), loop.carried_outputs, [loop])).steps)
    assert isinstance(fused, FusedRepeat)
    assert names(fused.body) == [["exp", "abs"]]


def evaluate(block: FusedBlock, x: np.ndarray) -> list[np.ndarray]:
    """The results of a fused block by running each kernel's unscheduled function."""
    import tvm

    kernels = [step for step in block.steps if isinstance(step, KernelGroup)]
    functions = {f"kernel_{i}": primitive_function(group) for i, group in enumerate(kernels)}
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in functions.items()})
    library = tvm.compile(module, target="llvm")
    known: dict[Value, np.ndarray] = {block.parameters[0]: x}
    for step in block.steps:
        if isinstance(step, View):
            known[step.result] = known[step.source].reshape(step.result.shape)
        if isinstance(step, KernelGroup):
            given = [tvm.runtime.tensor(known[v] if v.data is None else v.data) for v in step.inputs]
            made = [tvm.runtime.tensor(np.zeros(v.shape, v.dtype)) for v in step.outputs]
            library[f"kernel_{kernels.index(step)}"](*given, *made)
            known.update((v, tensor.numpy()) for v, tensor in zip(step.outputs, made, strict=True))
    return [known[value] for value in block.results]


def alone(block: Block) -> FusedBlock:
    """Every operation as a kernel of its own."""
    steps = [
        KernelGroup((step,), tuple(dict.fromkeys(step.inputs)), step.outputs) if isinstance(step, Operation) else step
        for step in block.steps
    ]
    return FusedBlock(
        block.parameters, block.results, tuple(step for step in steps if isinstance(step, KernelGroup | View))
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(make.blocks())
def test_fused_and_unfused_compute_the_same(block: Block) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (4, 4)).astype("float32")
    for fused, separate in zip(evaluate(fuse(block), x), evaluate(alone(block), x), strict=True):
        np.testing.assert_allclose(fused, separate, rtol=1e-4, atol=1e-4)


@settings(max_examples=300, deadline=None)
@given(make.blocks())
def test_every_operation_runs_once_and_after_what_it_reads(block: Block) -> None:
    fused = fuse(block)
    ran = [operation for step in fused.steps if isinstance(step, KernelGroup) for operation in step.operations]
    assert sorted(map(id, ran)) == sorted(id(step) for step in block.steps if isinstance(step, Operation))
    known = {block.parameters[0]}
    for step in fused.steps:
        if isinstance(step, View):
            assert step.source in known
            known.add(step.result)
        elif isinstance(step, KernelGroup):
            assert all(value in known or value.data is not None for value in step.inputs)
            assert sum(operation.pattern in (Pattern.ANCHOR, Pattern.REDUCTION) for operation in step.operations) <= 1
            known.update(step.outputs)
    assert all(value in known for value in block.results)
