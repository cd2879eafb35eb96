"""Binary networks as Verilog: bits in, the design with the fewest adders, the same results bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from benchmarks import hls_networks
from edgec.backends.executor import execute
from edgec.backends.rtl import flow
from edgec.backends.rtl.backend import RtlBackend
from edgec.backends.rtl.binary_products import counting_module, sign_products
from edgec.backends.rtl.integer_graph import IntegerGraph
from edgec.backends.rtl.recognition import integer_graph
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.graph.reference import ReferenceSession
from edgec.measure.rtl_simulation import simulate

SAMPLES = 1000


def convolutions() -> ir.Model:
    """Signs between two convolutions, a pooling and a dense layer; thresholds lie on no grid, filters are alike."""
    net = hls_networks.QonnxNetwork((1, 2, 6, 6), seed=3)
    net.quant(8, -5, signed=True)
    net.node("Conv", net.weights((6, 2, 3, 3), 4), pads=[1, 1, 1, 1])
    net.node("Add", net.constant(net.random.normal(0, 0.1, (6, 1, 1)).astype(np.float32)))
    net.bipolar()
    net.node("Conv", _alike(net, 8, 6), pads=[1, 1, 1, 1])
    net.node("Add", net.constant(net.random.normal(0, 4, (8, 1, 1)).astype(np.float32)))
    net.bipolar()
    net.node("MaxPool", kernel_shape=[3, 3], strides=[3, 3])
    net.node("Flatten")
    net.node("MatMul", net.weights((32, 3), 1))
    net.node("Mul", net.constant(np.array([0.25, 0.5, 1], np.float32)))
    net.node("Add", net.constant(np.array([0.5, -0.25, 2], np.float32)))
    return net.model()


def small() -> ir.Model:
    """Two layers of signs, few enough for cells."""
    net = hls_networks.QonnxNetwork((1, 4), seed=5)
    net.quant(3, -1, signed=True)
    net.node("MatMul", net.weights((4, 10), 1))
    net.bipolar()
    net.node("MatMul", net.weights((10, 3), 1))
    return net.model()


def _alike(net: hls_networks.QonnxNetwork, filters: int, channels: int) -> ir.Value:
    weights = net.weights((filters, channels, 3, 3), 1)
    real = net.constants[-2]
    signs = np.where(net.random.random((filters, channels, 3, 3)) < 0.05, -1, 1) * net.random.choice([-1, 1], (3, 3))
    real.const_value = ir.tensor(signs.astype(np.float32), name=real.name)
    return weights


NETWORKS = {"dense": hls_networks.binary, "convolutions": convolutions, "small": small}


def _expected(model: ir.Model, x: np.ndarray) -> np.ndarray:
    session = ReferenceSession(model)
    return np.concatenate([next(iter(session.run({"x": row[None]}).values())) for row in x])


def _samples(graph: IntegerGraph) -> np.ndarray:
    shape = (SAMPLES, *graph.inputs[0].shape[1:])
    return np.random.default_rng(1).normal(0, 1.5, shape).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_integers_are_those_of_onnx_runtime(name: str) -> None:
    model = NETWORKS[name]()
    graph = integer_graph(model)
    x = _samples(graph)
    expected = _expected(model, x)
    assert graph.exact
    got = graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("name", "target"), [("dense", "ecp5-85k"), ("convolutions", "ecp5-85k"), ("small", "asic-65nm-lp")]
)
def test_the_simulated_verilog_gives_the_same_bits(name: str, target: str, tmp_path: Path) -> None:
    model = NETWORKS[name]()
    plan = RtlBackend().plan(model, load_target(target), name="net", threads=1, progress=Silent())
    verilog = [
        path for path in plan.files if path.startswith("verilog/") and path.endswith(".v") and "_pins" not in path
    ]
    simulation = flow.simulation(verilog, "net")
    tools = tuple(flow.tool(each) for each in simulation.tools)
    files = {path: text.encode() for path, text in simulation.files.items()}
    execute(
        replace(plan, files={**plan.files, **files}, commands=simulation.commands, tools=tools, discard=()),
        tmp_path,
        Silent(),
    )
    x = _samples(integer_graph(model))[:250]
    found = simulate(tmp_path, plan.interface, [{"x": row[None]} for row in x])
    got = np.concatenate([row[plan.interface.outputs[0].name] for row in found.outputs])
    np.testing.assert_array_equal(got, _expected(model, x))


def test_the_design_with_the_fewest_adders_is_taken() -> None:
    random = np.random.default_rng(0)
    base = random.choice([-1, 1], (96, 1))
    alike = np.where(random.random((96, 12)) < 0.15, -base, base).astype(np.int64)
    zeros = np.zeros(12, np.int64)
    of_tables, of_cells = (sign_products("layer", alike, zeros, 3, inputs) for inputs in (4, None))
    naive = counting_module("naive", np.ascontiguousarray(alike.T, np.int8), zeros, None, None)
    assert "layer_stage0" in of_tables.sources
    assert list(of_cells.sources) == ["layer"]
    assert of_cells.adders < of_tables.adders < 0.5 * naive.adders
