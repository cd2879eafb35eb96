"""Concatenations and slices by address: fewer copies, and the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.backends.executor import execute
from edgec.backends.tvm.backend import TvmBackend
from edgec.backends.tvm.code_generation import strides_of
from edgec.backends.tvm.fusion import FusedBlock, KernelGroup, fuse
from edgec.backends.tvm.kernel_graph import Block, Operation, Value
from edgec.backends.tvm.memory import MemoryPlan, Region, plan_memory
from edgec.backends.tvm.overlays import lay_over
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.backends import kernel_graphs as make
from tests.backends.artifacts import build, run

ROWS = 4
Reference = Callable[..., np.ndarray]


class Networks:
    """Networks of products, sums, concatenations and slices of matrices, with what each operation computes in numpy."""

    def __init__(self, columns: int = 4) -> None:
        self.x = make.value("x", (ROWS, columns))
        self.operations: list[Operation] = []
        self.references: dict[str, Reference] = {}

    def _add(self, operation: Operation, reference: Reference) -> Value:
        self.operations.append(operation)
        self.references[operation.node] = reference
        return operation.outputs[0]

    def _next(self, kind: str, rows: int, columns: int) -> tuple[str, Value]:
        name = f"{kind}_{len(self.operations)}"
        return name, make.value(name, (rows, columns))

    def product(self, source: Value, columns: int) -> Value:
        name, output = self._next("MatMul", source.shape[0], columns)
        weights = np.cos(np.arange(source.shape[1] * columns)).reshape(source.shape[1], columns)
        return self._add(make.matrix_product(name, source, make.constant("w", weights), output), np.matmul)

    def negative(self, source: Value) -> Value:
        name, output = self._next("Neg", *source.shape)
        return self._add(make.unary(name, "negative", source, output), np.negative)

    def add(self, one: Value, other: Value) -> Value:
        name, output = self._next("Add", *one.shape)
        return self._add(make.binary(name, "add", one, other, output), np.add)

    def concat(self, sources: list[Value], axis: int) -> Value:
        shape = [source.shape for source in sources]
        total = [sum(extents) if i == axis else extents[0] for i, extents in enumerate(zip(*shape, strict=True))]
        name, output = self._next("Concat", *total)
        operation = make.concatenation(name, sources, output, axis)
        return self._add(operation, lambda *arrays: np.concatenate(arrays, axis))

    def columns(self, source: Value, start: int, count: int) -> Value:
        name, output = self._next("Slice", source.shape[0], count)
        operation = make.box(name, source, output, (0, start))
        return self._add(operation, lambda array: array[:, start : start + count])

    def block(self, *results: Value) -> Block:
        return Block((self.x,), results, list(self.operations))

    def expected(self, x: np.ndarray, results: tuple[Value, ...]) -> list[np.ndarray]:
        known = {self.x: x}
        for operation in self.operations:
            given = [known[value] if value.data is None else value.data for value in operation.inputs]
            known[operation.outputs[0]] = self.references[operation.node](*given)
        return [known[value] for value in results]


def kernels(block: FusedBlock) -> list[list[str]]:
    return [[operation.op for operation in step.operations] for step in block.steps if isinstance(step, KernelGroup)]


def test_products_write_side_by_side_and_nothing_is_copied() -> None:
    net = Networks()
    squeezed = net.product(net.x, 8)
    whole = net.concat([net.product(squeezed, 4), net.product(squeezed, 8)], 1)
    block = fuse(lay_over(net.block(net.product(whole, 4))))
    assert kernels(block) == [["MatMul"]] * 4
    assert sorted(strides_of(block).values()) == [(12, 1), (12, 1)]


def test_pieces_that_lie_one_after_another_are_dense() -> None:
    net = Networks()
    whole = net.concat([net.product(net.x, 3), net.product(net.x, 3)], 0)
    block = fuse(lay_over(net.block(net.product(whole, 4))))
    assert kernels(block) == [["MatMul"]] * 3
    assert strides_of(block) == {}


def test_growing_concatenations_share_one_memory() -> None:
    net = Networks()
    features = [net.product(net.x, 4)]
    for _ in range(4):
        last = net.concat(features, 1) if len(features) > 1 else features[0]
        features.append(net.product(last, 4))
    block = fuse(lay_over(net.block(net.product(net.concat(features, 1), 4))))
    assert kernels(block) == [["MatMul"]] * 6
    assert plan_memory(block, {}).arena_bytes == ROWS * 5 * 4 * 4


def test_a_part_that_belongs_to_two_wholes_is_copied_to_one() -> None:
    net = Networks()
    shared, one, other = (net.product(net.x, count) for count in (4, 8, 8))
    first, second = net.concat([shared, one], 1), net.concat([shared, other], 1)
    block = fuse(lay_over(net.block(net.add(net.product(first, 4), net.product(second, 4)))))
    assert sum(kernel == ["Concat"] for kernel in kernels(block)) == 1


def test_narrow_columns_are_copied() -> None:
    net = Networks()
    whole = net.concat([net.product(net.x, 1), net.product(net.x, 1)], 1)
    assert ["Concat"] in kernels(fuse(lay_over(net.block(net.product(whole, 4)))))


def test_results_that_are_parts_keep_memory_of_their_own() -> None:
    net = Networks()
    one, other = net.product(net.x, 4), net.product(net.x, 4)
    whole = net.concat([one, other], 1)
    block = fuse(lay_over(net.block(one, net.product(whole, 4))))
    plan = plan_memory(block, {})
    assert plan.place(one).region is Region.OUTPUT
    assert plan.output_copies == {}


def test_a_slice_is_read_where_it_lies() -> None:
    net = Networks()
    made = net.product(net.x, 8)
    halves = [net.columns(made, start, 4) for start in (0, 4)]
    block = fuse(lay_over(net.block(net.add(net.product(halves[0], 4), net.product(halves[1], 4)))))
    assert kernels(block) == [["MatMul"], ["MatMul"], ["MatMul", "Add"]]


@st.composite
def networks(draw: st.DrawFn) -> tuple[Networks, tuple[Value, ...]]:
    net = Networks(8)
    made = [net.x]
    for _ in range(draw(st.integers(2, 12))):
        source = draw(st.sampled_from(made))
        kind = draw(st.sampled_from(("product", "negative", "add", "columns", "concat", "concat", "concat")))
        if kind == "product":
            made.append(net.product(source, draw(st.sampled_from((4, 8, 3)))))
        elif kind == "negative":
            made.append(net.negative(source))
        elif kind == "add":
            made.append(net.add(source, draw(st.sampled_from([v for v in made if v.shape == source.shape]))))
        elif kind == "columns" and source.shape[1] > 4:
            made.append(net.columns(source, draw(st.integers(0, source.shape[1] - 4)), 4))
        elif kind == "concat":
            axis = draw(st.integers(0, 1))
            fitting = [v for v in made if v.shape[1 - axis] == source.shape[1 - axis]]
            others = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3))
            if sum(value.size_bytes for value in others) < 4096:
                made.append(net.concat([source, *others], axis))
    if made[-1] is net.x:
        made.append(net.negative(net.x))
    others = draw(st.lists(st.sampled_from(made[1:]), max_size=2))
    return net, (made[-1], *others)


class Machine:
    """Runs a fused block in the memory that the plan gives it, each kernel in numpy."""

    def __init__(self, block: FusedBlock, plan: MemoryPlan, references: dict[str, Reference]) -> None:
        self.block, self.plan, self.references = block, plan, references
        self.strides = strides_of(block)
        self.memory: dict[tuple[Region, int], np.ndarray] = {}

    def array(self, value: Value) -> np.ndarray:
        if value.data is not None:
            return value.data
        place = self.plan.place(value)
        if place.region is Region.CONSTANTS:
            memory = np.frombuffer(self.plan.constants.contents, np.uint8)
        else:
            memory = self.memory[place.region, place.index]
        strides = [4 * stride for stride in self.strides.get(value, (value.shape[1], 1))]
        return np.ndarray(value.shape, "float32", memory.data, place.offset, strides)

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        self.memory[Region.ARENA, 0] = np.full(self.plan.arena_bytes, 255, np.uint8)
        for index, value in enumerate(self.block.results):
            self.memory[Region.OUTPUT, index] = np.full(value.size_bytes, 255, np.uint8)
        self.memory[Region.INPUT, 0] = x.reshape(-1).view(np.uint8)
        for step in self.block.steps:
            if isinstance(step, KernelGroup):
                self._kernel(step)
        for index, value in self.plan.output_copies.items():
            self.memory[Region.OUTPUT, index][:] = self.array(value).reshape(-1).view(np.uint8)
        return [
            self.memory[Region.OUTPUT, index].view("float32").reshape(value.shape)
            for index, value in enumerate(self.block.results)
        ]

    def _kernel(self, group: KernelGroup) -> None:
        known: dict[Value, Any] = {value: self.array(value).copy() for value in group.inputs}
        for operation in group.operations:
            given = [known[value] for value in operation.inputs]
            # An operation that is in no network's list copies a part.
            copies = operation.op == "Concat" and len(given) == 1
            known[operation.outputs[0]] = given[0] if copies else self.references[operation.node](*given)
        for value in group.outputs:
            self.array(value)[...] = known[value]


X = np.random.default_rng(5).standard_normal((ROWS, 8)).astype("float32")


@settings(max_examples=300, deadline=None)
@given(networks())
def test_shared_memory_never_changes_a_result(case: tuple[Networks, tuple[Value, ...]]) -> None:
    net, results = case
    block = fuse(lay_over(net.block(*results)))
    made = Machine(block, plan_memory(block, {}), net.references).run(X)
    for result, expected in zip(made, net.expected(X, results), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(networks())
def test_compiled_networks_agree_with_numpy(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Networks, tuple[Value, ...]]
) -> None:
    net, results = case
    folder = tmp_path_factory.mktemp("net")
    outputs, _ = run(build(net.block(*dict.fromkeys(results)), folder), folder, {"x": X})
    for value, expected in zip(results, net.expected(X, results), strict=True):
        np.testing.assert_allclose(outputs[value.name], expected, rtol=1e-4, atol=1e-4)


JOINED_AND_CUT = """
<ir_version: 8, opset_import: ["": 17]>
net (float[1, 4, 10, 12] x) => (float[1, 48, 5, 6] y)
<float[8, 4, 3, 3] w0, float[16, 8, 1, 1] w1, float[24, 8, 3, 3] w2, float[24, 40, 1, 1] w3, float[24] b>
{
  squeezed = Conv <pads = [1, 1, 1, 1]> (x, w0)
  left = Conv (squeezed, w1)
  right = Conv <pads = [1, 1, 1, 1]> (squeezed, w2)
  first = Concat <axis = 1> (left, right)
  active = Relu (first)
  grown = Conv (active, w3, b)
  second = Concat <axis = 1> (left, right, grown)
  small = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (second)
  one, two = Split <axis = 1> (small)
  sum = Add (one, two)
  mean = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (two)
  part = Concat <axis = 1> (sum, mean)
  low = Constant <value_ints = [0]> ()
  high = Constant <value_ints = [48]> ()
  one_axis = Constant <value_ints = [1]> ()
  y = Slice (part, low, high, one_axis)
}
"""


def _network() -> onnx.ModelProto:
    model = onnx.parser.parse_model(JOINED_AND_CUT)
    random = np.random.default_rng(3)
    for value in model.graph.value_info:
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        weights = random.standard_normal(shape).astype("float32") / 8
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, value.name))
    del model.graph.value_info[:]
    return model


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_of_concatenations_agrees_with_onnx_runtime(tmp_path: Path, threads: int) -> None:
    model = _network()
    x = np.random.default_rng(1).standard_normal((1, 4, 10, 12)).astype("float32")
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    plan = TvmBackend().plan(inferred, load_target("host"), name="net", threads=threads, progress=Silent())
    assert plan.fallbacks == ()
    assert not any(layer.op == "Concat" for layer in plan.layers[:5])
    execute(plan, tmp_path, Silent())
    made, _ = run(plan, tmp_path, {"x": x})
    np.testing.assert_allclose(made["y"], expected, rtol=1e-4, atol=1e-4)
