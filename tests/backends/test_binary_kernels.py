"""Binary convolutions are found, and their kernels give the bits of ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integer_cores import runnable_cores
from kernel_evaluator import Kernels, reference

from edgec.backends.tvm.binary.recognition import BINARY_CONVOLUTION, form_binary_nodes
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.graph.binary_form import write_units
from edgec.graph.quantization import QuantizationPlan, QuantizedWeights, Quantizer
from edgec.graph.quantization_writer import Dialect, write_quantization
from edgec.graph.shapes import infer_shapes
from edgec.passes.binary_thresholds import absorb_thresholds
from tests.models.builder import GraphBuilder
from tests.training.binary_networks import chain

pytest.importorskip("tvm")

CORES = runnable_cores()


@dataclass(frozen=True)
class Case:
    """A binary convolution."""

    channels: tuple[int, int]
    extents: tuple[int, int]
    kernel: int
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    seed: int = 0

    @property
    def outputs(self) -> tuple[int, ...]:
        """Extents of the output."""
        reach = self.dilation * (self.kernel - 1) + 1
        borders = (self.pads[0] + self.pads[2], self.pads[1] + self.pads[3])
        return tuple((e + border - reach) // self.stride + 1 for e, border in zip(self.extents, borders, strict=True))


def model_of(case: Case) -> ir.Model:
    """Signs times two, weights of ±half: sums of floats are exact."""
    g = GraphBuilder("binary", 17, case.seed)
    inputs, outputs = case.channels
    weights = g.weight(outputs, inputs, case.kernel, case.kernel)
    bias = g.constant(np.arange(outputs, dtype=np.float32) - 3)
    attributes = {"strides": [case.stride] * 2, "dilations": [case.dilation] * 2, "pads": list(case.pads)}
    g.node("Conv", g.input("x", (1, inputs, *case.extents)), weights, bias, output="y", **attributes)
    g.output("y", (1, outputs, *case.outputs))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(g.model()))
    node = model.graph[0]
    node.name = "layer"
    real = node.inputs[1].const_value.numpy()
    scale = np.where(np.arange(outputs) % 2, 0.5, 2).astype(np.float32)
    halves = Quantizer(scale, np.zeros(outputs, np.int64), bits=1, axis=0)
    twos = Quantizer(np.array(2, np.float32), np.array(0), bits=1)
    plan = QuantizationPlan({"x": twos}, {"layer": QuantizedWeights(halves, halves.quantize(real))})
    return write_quantization(model, plan, dialect=Dialect.QONNX)


def formed(case: Case) -> ir.Model:
    model = model_of(case)
    infer_shapes(model)
    return form_binary_nodes(model)


def check(case: Case, core: str) -> None:
    model = formed(case)
    assert [node.op_type for node in model.graph][:1] == [BINARY_CONVOLUTION]
    random = np.random.default_rng(case.seed)
    x = random.normal(size=(1, case.channels[0], *case.extents)).astype(np.float32)
    x.flat[::7] = 0
    x.flat[::11] = -0.0
    kernels = Kernels(ir.to_proto(model), CORES[core])
    assert not kernels.fallbacks
    found = kernels.run({"x": x})[0]
    np.testing.assert_array_equal(found, reference(ir.to_proto(model_of(case)), {"x": x})[0])


@pytest.mark.parametrize("core", CORES)
def test_every_core_gives_the_bits_of_onnx_runtime(core: str) -> None:
    check(Case((64, 40), (7, 9), 3, pads=(1, 1, 1, 1)), core)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Case,
        st.tuples(st.sampled_from([32, 40, 96]), st.integers(1, 40)),
        st.tuples(st.integers(6, 9), st.integers(6, 9)),
        st.sampled_from([1, 3]),
        st.integers(1, 2),
        st.integers(1, 2),
        st.tuples(*[st.integers(0, 2)] * 4),
        st.integers(0, 99),
    )
)
def test_windows_and_borders(case: Case) -> None:
    check(case, next(iter(CORES)))


def test_what_remains_after_inlining_is_found_too() -> None:
    model = model_of(Case((64, 16), (5, 5), 3))
    for name in ("normalise-graph", "inline-functions", "static-shapes", "fold-constants"):
        model = make_pass(name, {}).run(model, PassContext(load_target("host"))).model
    infer_shapes(model)
    assert BINARY_CONVOLUTION in [node.op_type for node in form_binary_nodes(model).graph]


@pytest.mark.parametrize("case", [Case((16, 16), (5, 5), 3)])
def test_few_channels_stay_as_they_are(case: Case) -> None:
    assert BINARY_CONVOLUTION not in [node.op_type for node in formed(case).graph]


@pytest.mark.parametrize("pool", [False, True])
def test_thresholds_of_whole_numbers_give_the_bits_of_onnx_runtime(pool: bool) -> None:
    """Two layers in the form that `binarize` writes; only the last scale is computed with, and is a power of two.

    Other scales may be multiplied and the bias added with one rounding instead of two.
    """
    model, units = chain(pool=pool)
    units[1] = replace(units[1], scale=np.full_like(units[1].scale, 0.25))
    write_units(model, units)
    assert absorb_thresholds(model, [unit.name for unit in units]) == 1
    infer_shapes(model)
    binary = form_binary_nodes(model)
    assert [node.op_type for node in binary.graph].count(BINARY_CONVOLUTION) == 2
    x = np.random.default_rng(1).standard_normal((1, 32, 8, 8)).astype(np.float32)
    kernels = Kernels(ir.to_proto(binary), CORES[next(iter(CORES))])
    np.testing.assert_array_equal(kernels.run({"x": x})[0], reference(ir.to_proto(model), {"x": x})[0])
