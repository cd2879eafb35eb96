"""Binary products as Verilog: the netlist that Yosys makes of them gives the sums of the reference, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyosys", reason="needs edgec[fpga]")

from edgec.backends.rtl.binary_products import counting_module
from edgec.backends.rtl.constant_products import ProductModule
from edgec.backends.rtl.netlist import Netlist, read_netlist
from edgec.graph.spanning_tree import SpanningTree, spanning_tree


def synthesised(module: ProductModule, folder: Path) -> Netlist:
    """The module as gates and flip-flops."""
    (folder / "module.v").write_text("\n".join(module.sources.values()))
    commands = ["read_verilog module.v", f"synth -flatten -noabc -top {module.name}", "dffunmap", "opt_clean"]
    (folder / "script.ys").write_text("\n".join([*commands, "write_json netlist.json", ""]))
    command = [sys.executable, "-m", "edgec.backends.rtl.run_tool", "yosys", "script.ys"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return read_netlist(folder / "netlist.json", {})


def simulate(netlist: Netlist, bits: np.ndarray, cycles: int) -> np.ndarray:
    """Bits of `model_out` after some cycles with the same input; all inferences side by side."""
    nets = np.zeros((netlist.nets, len(bits)), np.int64)
    nets[1] = 1
    nets[list(netlist.ports["model_inp"])] = bits.T
    for _ in range(cycles + 1):
        for gate in netlist.gates:
            row = sum(nets[source] << place for place, source in enumerate(gate.inputs))
            nets[gate.output] = gate.table >> row & 1
        outputs = nets[list(netlist.ports["model_out"])].T
        held = [nets[register.data].copy() for register in netlist.flip_flops]
        for register, value in zip(netlist.flip_flops, held, strict=True):
            nets[register.output] = value
    return outputs


def sums(module: ProductModule, outputs: np.ndarray) -> np.ndarray:
    """The integers that the bits stand for, one column a channel."""
    columns, at = [], 0
    for port in module.outputs:
        value = outputs[:, at : at + port.width] @ (1 << np.arange(port.width))
        at += port.width
        columns.append(np.where(port.signed & (value >= 1 << port.width - 1), value - (1 << port.width), value))
    return np.stack(columns, axis=1)


def trees(signs: np.ndarray) -> dict[str, SpanningTree | None]:
    return {
        "naive": None,
        "tree": spanning_tree(signs),
        "no complements": spanning_tree(signs, complements=False),
        "shallow": spanning_tree(signs, most_depth=1),
    }


@pytest.mark.parametrize("lookup_inputs", [None, 4, 6])
@pytest.mark.parametrize(
    ("kind", "pipelined", "width"),
    [("naive", False, 47), ("tree", True, 13), ("no complements", True, 80), ("shallow", False, 13)],
)
def test_the_netlist_gives_the_sums(
    kind: str, pipelined: bool, width: int, lookup_inputs: int | None, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    signs = random.choice(np.array([-1, 1], np.int8), (5, width))
    signs[1] = -signs[0]
    signs[2] = signs[0]
    signs[3] = 1
    bias = random.integers(-30, 30, 5)
    tree = trees(signs)[kind]
    module = counting_module("layer", signs, bias, tree, lookup_inputs, pipelined=pipelined)
    bits = np.vstack([random.integers(0, 2, (60, width)), np.zeros((1, width), int), np.ones((1, width), int)])
    found = sums(module, simulate(synthesised(module, tmp_path), bits, module.latency))
    np.testing.assert_array_equal(found, bias + bits @ signs.T.astype(np.int64))
    levels = 0 if tree is None else tree.depth
    assert module.latency == (levels + 1 if pipelined else 0)


@pytest.mark.parametrize("lookup_inputs", [None, 4, 6])
def test_similar_channels_need_few_adders(lookup_inputs: int | None) -> None:
    random = np.random.default_rng(0)
    base = random.choice(np.array([-1, 1], np.int8), 144)
    signs = np.where(random.random((16, 144)) < 0.1, -base, base).astype(np.int8)
    bias = np.zeros(16, np.int64)
    alone, along = (counting_module("layer", signs, bias, tree, lookup_inputs) for tree in (None, spanning_tree(signs)))
    assert along.adders < 0.45 * alone.adders
