"""Hardware artefacts: their simulators give the bits of the reference, and equal seeds give equal bitstreams."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from quantised_networks import mlp

pytest.importorskip("da4ml", reason="needs edgec[fpga]")
pytest.importorskip("pyosys", reason="needs edgec[fpga]")

from edgec.backends.executor import execute
from edgec.backends.rtl import flow
from edgec.backends.rtl.backend import RtlBackend
from edgec.backends.rtl.folded import write_folded
from edgec.backends.rtl.recognition import integer_graph
from edgec.backends.rtl.unrolled import unroll
from edgec.build import BuildOptions, build
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.graph.load import load_model
from edgec.measure.rtl_simulation import simulate

SAMPLES = 1000


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "tiny.onnx"
    onnx.save(mlp((4, 6, 3)), path)
    return path


@pytest.fixture(scope="module")
def artefact(network: Path) -> Path:
    out = network.parent / "artefact"
    build(_options(network, "ice40-hx8k", out), Silent())
    return out


def _options(network: Path, target: str, out: Path) -> BuildOptions:
    return BuildOptions(model=network, target=target, out=out)


def test_the_report_says_that_the_rtl_was_simulated_bit_for_bit(artefact: Path) -> None:
    report = json.loads((artefact / "report.json").read_text())
    assert report["verification"]["where"] == "rtl-simulation"
    assert report["verification"]["bit_exact"]
    metrics = report["metrics"]
    assert metrics["initiation_interval"]["value"] == 1
    assert 0 < metrics["luts"]["value"] < 7680
    assert metrics["fmax_mhz"]["value"] > 20
    assert metrics["energy_mj"]["low"] < metrics["energy_mj"]["value"] < metrics["energy_mj"]["high"]


def test_a_thousand_inputs_give_the_bits_of_the_reference(artefact: Path, network: Path) -> None:
    model = load_model(network).model
    plan = RtlBackend().plan(model, load_target("ice40-hx8k"), name="tiny", threads=1, progress=Silent())
    graph = integer_graph(model)
    x = np.random.default_rng(3).normal(0, 2, (SAMPLES, 4)).astype(np.float32)
    found = simulate(artefact, plan.interface, [{"x": row[None]} for row in x])
    got = np.concatenate([row[plan.interface.outputs[0].name] for row in found.outputs])
    expected = graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]
    np.testing.assert_array_equal(got, expected)


def test_the_same_seed_gives_the_same_bitstream(artefact: Path, network: Path) -> None:
    again = network.parent / "again"
    build(_options(network, "ice40-hx8k", again), Silent())
    first, second = (next((folder / "bitstream").iterdir()).read_bytes() for folder in (artefact, again))
    assert first == second


def test_a_folded_network_gives_the_bits_of_the_reference(network: Path, tmp_path: Path) -> None:
    graph = integer_graph(load_model(network).model)
    verilog, layout, bits = write_folded(graph, "tiny")
    plan = RtlBackend().plan(
        load_model(network).model, load_target("ice40-hx8k"), name="tiny", threads=1, progress=Silent()
    )
    made = flow.simulation([f"verilog/{name}" for name in verilog if name.endswith(".v")], "tiny")
    files = {f"verilog/{name}": text.encode() for name, text in verilog.items()}
    files |= {name: text.encode() for name, text in made.files.items()}
    files["simulation/layout.h"] = layout.encode()
    files["build/simulate.c"] = plan.files["build/simulate.c"]
    from dataclasses import replace

    tools = tuple(flow.tool(name) for name in made.tools)
    execute(replace(plan, files=files, commands=made.commands, tools=tools, discard=()), tmp_path, Silent())
    x = np.random.default_rng(3).normal(0, 2, (SAMPLES, 4)).astype(np.float32)
    found = simulate(tmp_path, plan.interface, [{"x": row[None]} for row in x])
    got = np.concatenate([row[plan.interface.outputs[0].name] for row in found.outputs])
    np.testing.assert_array_equal(got, graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0])
    assert bits > 0
    assert found.interval_cycles is not None
    assert found.latency_cycles is not None
    assert found.interval_cycles <= found.latency_cycles


def test_the_verilog_of_a_tiny_network_is_stable(network: Path) -> None:
    design = unroll(integer_graph(load_model(network).model), "tiny", 3)
    golden = Path(__file__).parent / "golden_tiny.v"
    assert design.verilog["tiny.v"] == golden.read_text()


def test_a_simulator_refuses_inputs_of_another_size(artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(b"123")
    command = [str(artefact / "simulation/simulate"), str(tmp_path / "short.bin"), str(tmp_path / "out.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not of the network's size" in done.stderr
