"""3 x 3 convolutions by minimal filtering against ONNX Runtime, and when they are computed that way."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from artifacts import build, run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_evaluator import AVX2, AVX512, NEON, SCALAR, assert_agrees, reference
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.kernel_graph import Operation, Value
from edgec.backends.tvm.model_lowering import lower_graph
from edgec.backends.tvm.operators import winograd as operators
from edgec.backends.tvm.register_tile import choose_tile
from edgec.backends.tvm.winograd import F2, F4, Filtering
from edgec.backends.tvm.winograd_choice import FilteringChoice, choose_filtering, possible_filterings
from edgec.core.target_files import load_target

needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-aarch64 is not installed")


@dataclass(frozen=True)
class Case:
    """A convolution with what follows it."""

    batch: int
    inputs: int
    extents: tuple[int, int]
    outputs: int
    pads: tuple[int, int, int, int]
    bias: bool = False
    residual: bool = False
    activation: str | None = None


def model_of(cases: Sequence[Case]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model with every case as an independent branch, and inputs for it."""
    generator = np.random.default_rng(11)
    nodes, inputs, outputs, constants = [], [], [], []
    values: dict[str, np.ndarray] = {}

    def random(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(np.float32)

    def fed(name: str, contents: np.ndarray) -> str:
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, contents.shape))
        values[name] = contents
        return name

    for index, case in enumerate(cases):
        operands = [fed(f"x{index}", random(case.batch, case.inputs, *case.extents)), f"w{index}"]
        weights = random(case.outputs, case.inputs, 3, 3) / math.sqrt(9 * case.inputs)
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{index}"))
        if case.bias:
            operands.append(f"b{index}")
            constants.append(numpy_helper.from_array(random(case.outputs), f"b{index}"))
        last = f"conv{index}"
        nodes.append(helper.make_node("Conv", operands, [last], name=last, pads=case.pads))
        if case.residual:
            top, left, bottom, right = case.pads
            extents = (case.extents[0] + top + bottom - 2, case.extents[1] + left + right - 2)
            other = fed(f"r{index}", random(case.batch, case.outputs, *extents))
            nodes.append(helper.make_node("Add", [last, other], [f"sum{index}"], name=f"sum{index}"))
            last = f"sum{index}"
        if case.activation:
            nodes.append(helper.make_node(case.activation, [last], [f"a{index}"], name=f"a{index}"))
            last = f"a{index}"
        outputs.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "convolutions", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), values


def force(patch: pytest.MonkeyPatch, filtering: Filtering, height: int | None = None) -> None:
    """Compute whatever can be by these matrices, in strips of `height` rows of tiles or else of the fastest height."""

    def choose(
        extents: Sequence[int], inputs: int, outputs: int, core: CoreDescription, _direct: float
    ) -> FilteringChoice:
        ways = list(possible_filterings(filtering, extents, inputs, outputs, core))
        fitting = [way for way in ways if way.strips.height == height]
        return min(fitting or ways, key=lambda way: way.cost)

    patch.setattr(operators, "choose_filtering", choose)


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """A small convolution of any border, odd extents and any number of channels."""
    return Case(
        batch=draw(st.sampled_from([1, 1, 2])),
        inputs=draw(st.sampled_from([1, 3, 8, 13, 16, 40])),
        extents=(draw(st.integers(4, 19)), draw(st.integers(4, 19))),
        outputs=draw(st.sampled_from([5, 8, 16, 21, 48])),
        pads=(draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        bias=draw(st.booleans()),
        residual=draw(st.booleans()),
        activation=draw(st.sampled_from([None, "Relu", "HardSwish", "Sigmoid"])),
    )


@given(
    st.lists(any_case(), min_size=6, max_size=6),
    st.sampled_from([AVX512, AVX2, NEON, SCALAR]),
    st.sampled_from([F2, F4]),
    st.sampled_from([None, 1, 2]),
)
@settings(
    max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_any_geometry_agrees(
    cases: list[Case], core: CoreDescription, filtering: Filtering, height: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        force(patch, filtering, height)
        assert_agrees(*model_of(cases), core)


@pytest.mark.parametrize(("filtering", "height"), [(F2, 1), (F4, 4)], ids=["strips", "channels"])
def test_the_kernel_is_one_with_its_epilogue_and_threads_share_it(
    filtering: Filtering, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, filtering, height)
    case = Case(1, 16, (13, 15), 128, (1, 1, 1, 1), bias=True, residual=True, activation="Relu")
    kernels = assert_agrees(*model_of([case]), threads=2)
    (group,) = [group for group in kernels.groups if any(operation.macs for operation in group.operations)]
    assert [operation.op for operation in group.operations] == ["Conv", "Add", "Relu"]


def layer_of(case: Case, core: CoreDescription) -> Operation:
    """The operation that computes the convolution of a case."""
    model, _ = model_of([case])
    block = lower_graph(ir.from_proto(model), core, "net").main
    return next(step for step in block.steps if isinstance(step, Operation) and step.macs)


def weights_of(operation: Operation) -> Value:
    return operation.inputs[1]


@pytest.mark.parametrize("core", [AVX512, AVX2, NEON], ids=["avx512", "avx2", "neon"])
def test_a_middle_layer_is_filtered_and_counts_the_multiplications_of_the_convolution(core: CoreDescription) -> None:
    layer = layer_of(Case(1, 64, (56, 56), 64, (1, 1, 1, 1)), core)
    assert weights_of(layer).name.endswith(".transformed")
    assert layer.macs == 56 * 56 * 64 * 64 * 9


@pytest.mark.parametrize(
    ("case", "core"),
    [
        (Case(1, 64, (56, 56), 64, (1, 1, 1, 1)), SCALAR),
        (Case(1, 3, (56, 56), 64, (1, 1, 1, 1)), AVX512),
        (Case(1, 512, (3, 3), 512, (1, 1, 1, 1)), NEON),
    ],
    ids=["no vectors", "few channels", "mostly weights"],
)
def test_where_it_does_not_pay_the_weights_stay_as_large_as_they_are(case: Case, core: CoreDescription) -> None:
    layer = layer_of(case, core)
    assert math.prod(weights_of(layer).shape) < 1.5 * case.outputs * case.inputs * 9


def test_where_memory_is_tight_the_weights_stay_as_large_as_they_are() -> None:
    case = Case(1, 64, (56, 56), 64, (1, 1, 1, 1))
    weights_bytes = 64 * 64 * 9 * 4
    tight, roomy = (replace(NEON, weight_memory_bytes=times * weights_bytes) for times in (8, 32))
    assert math.prod(weights_of(layer_of(case, tight)).shape) == 64 * 64 * 9
    assert weights_of(layer_of(case, roomy)).name.endswith(".transformed")


def test_a_small_gain_is_not_bought_with_many_bytes() -> None:
    core, extents, channels = CoreDescription.of(load_target("raspberry-pi-4")), (1, 14, 14), 256
    direct = choose_tile(extents, channels, core).cost * channels * 9
    chosen = choose_filtering(extents, channels, channels, core, direct)
    fastest = min(way.cost for way in possible_filterings(F4, extents, channels, channels, core))
    assert chosen is not None
    assert chosen.strips.filtering is F2
    assert fastest < chosen.cost


@needs_emulator
def test_an_artefact_for_another_machine_agrees(tmp_path: Path) -> None:
    model, values = model_of([Case(1, 32, (19, 17), 40, (1, 1, 1, 1), bias=True, activation="Relu")])
    graph = lower_graph(ir.from_proto(model), NEON, "net")
    assert any(
        weights_of(step).name.endswith(".transformed")
        for step in graph.main.steps
        if isinstance(step, Operation) and step.macs
    )
    plan = build(graph.main, tmp_path, "raspberry-pi-4")
    made, _ = run(plan, tmp_path, values)
    (expected,) = reference(model, values)
    (actual,) = made.values()
    assert float(np.abs(actual - expected).max()) <= 1e-5 * float(np.ptp(expected))
