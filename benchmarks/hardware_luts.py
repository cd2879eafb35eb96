"""Look-up tables of unrolled networks: edgec's Verilog and that of da4ml's own flow, of the same network.

    python examples/jet_tagging/train.py --out out/jets
    python -m benchmarks.jet_tagging out/jets --no-count
    python -m benchmarks.hardware_luts --network jets=out/jets/bits-6-ends-8/model.onnx --jets out/jets/data.npz

`mlp` and `encoder` are those of `benchmarks.hls_networks`, with weights from a seed. Both flows put a register after as
many adders, and are synthesised by the same commands of Yosys without DSP blocks; a carry cell of the ECP5 counts as
its two look-up tables. da4ml cannot round ties to even, as QONNX and ONNX do and edgec does: its network rounds them
up. Its program is checked on random inputs against the integers, and with `--jets` both are asked for the accuracy.
Results are written after each design to results/hardware-luts.json, and those that are there already are not computed
again; the table goes to docs/reference/hardware-luts.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import hls_networks
from edgec.backends.rtl.flow import ADDERS, adders_of_two_operands
from edgec.backends.rtl.integer_graph import Affine, Clamped, Input, IntegerGraph, Rearranged, Requantised
from edgec.backends.rtl.recognition import integer_graph
from edgec.backends.rtl.registers import hardware_source
from edgec.backends.rtl.unrolled import unroll
from edgec.graph.load import load_model

RESULTS = Path(__file__).parent / "results" / "hardware-luts.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "hardware-luts.md"
NETWORKS = {"mlp": hls_networks.mlp, "encoder": hls_networks.encoder}
DESCRIPTIONS = {
    "jets": "`jets`, the jet tagger 16-64-32-32-5 of `examples/jet_tagging` with six bits and eight at its ends",
    "mlp": "`mlp`, of the same shape with 6-bit weights from a seed",
    "encoder": "`encoder`, a compressor of 48 cells with 6-bit weights from a seed",
}
SYNTHESIS = {
    "ecp5": "synth_ecp5 -nodsp -top {top}",
    "xilinx": "synth_xilinx -flatten -nodsp -noiopad -noclkbuf -top {top}",
}
TABLES = {
    "ecp5": {"LUT4": 1, "CCU2C": 2},
    "xilinx": {"INV": 1} | {f"LUT{inputs}": 1 for inputs in range(1, 7)},
}
REGISTERS = {"ecp5": ("TRELLIS_FF",), "xilinx": ("FDRE", "FDSE", "FDCE", "FDPE", "SRL16E", "SRLC32E")}
CHECKED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), help="names, or NAME=FILE.onnx")
    parser.add_argument("--jets", type=Path, help="data.npz of the jet tagger, for the accuracy of networks from files")
    parser.add_argument("--families", nargs="+", choices=sorted(SYNTHESIS), default=sorted(SYNTHESIS))
    parser.add_argument("--delay", type=int, default=3, help="adders between two registers")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for network in options.network:
        name, _, file = network.partition("=")
        model = load_model(Path(file), quantisers=True).model if file else NETWORKS[name]()
        graph = integer_graph(model)
        for flow in ("edgec", "da4ml"):
            chosen = with_ties_up(graph) if flow == "da4ml" else graph
            for family in options.families:
                key = f"{name} {flow} {family}"
                if key not in found:
                    found[key] = measure(chosen, flow, family, options.delay)
                    if file and options.jets:
                        found[key]["accuracy"] = accuracy(chosen, options.jets)
                    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
                print(key, found[key], flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


def accuracy(graph: IntegerGraph, jets: Path) -> float:
    """Percent of the held-out jets that the integers tell rightly."""
    with np.load(jets, allow_pickle=False) as arrays:
        x, labels = arrays["evaluation/x"], arrays["evaluation/y"]
    values = graph.evaluate(graph.quantise_inputs([x]))
    scores = graph.dequantise_outputs(values)[0]
    return round(100 * float((scores.argmax(axis=1) == labels).mean()), 2)


def with_ties_up(graph: IntegerGraph) -> IntegerGraph:
    """The network with half a step in the biases before each rounding, which then only cuts off."""
    operations = list(graph.operations)
    for position, operation in enumerate(operations):
        if isinstance(operation, Requantised) and operation.half_even and operation.shift:
            product = operations[operation.sources[0]]
            if not isinstance(product, Affine) or (operation.multiplier != 1).any():
                raise TypeError(f"{operation.node}: only sums of products with scales of two can be compared")
            half = 1 << (operation.shift - 1)
            operations[operation.sources[0]] = replace(product, bias=product.bias + half)
            operations[position] = replace(operation, half_even=False)
    return replace(graph, operations=tuple(operations))


def measure(graph: IntegerGraph, flow: str, family: str, delay: int) -> dict[str, float]:
    """Tables and registers of one design."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = da4ml_design(graph, folder, delay) if flow == "da4ml" else edgec_design(graph, folder, delay)
        (folder / ADDERS).write_text(hardware_source(ADDERS))
        commands = [
            f"read_verilog -defer {' '.join(str(source) for source in sources)}",
            "hierarchy -check -top network",
            *adders_of_two_operands(f"{folder}/{ADDERS}"),
            SYNTHESIS[family].format(top="network"),
            f"tee -q -o {folder}/stat.json stat -json",
        ]
        (folder / "script.ys").write_text("\n".join(commands) + "\n")
        command = [sys.executable, "-m", "edgec.backends.rtl.run_tool", "yosys", str(folder / "script.ys")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        text = (folder / "stat.json").read_text()
        cells = Counter(json.loads(text[text.index("{") :])["design"]["num_cells_by_type"])
    return {
        "luts": sum(cells[cell] * each for cell, each in TABLES[family].items()),
        "registers": sum(cells[cell] for cell in REGISTERS[family]),
        "seconds": round(time.monotonic() - started),
    }


def edgec_design(graph: IntegerGraph, folder: Path, delay: int) -> list[Path]:
    """What `edgec build` writes for an unrolled network."""
    design = unroll(graph, "network", delay)
    for file, text in design.verilog.items():
        (folder / file).write_text(text)
    return [folder / file for file in design.verilog]


def da4ml_design(graph: IntegerGraph, folder: Path, delay: int) -> list[Path]:
    """The whole network traced by da4ml, and written by its generator of Verilog."""
    from da4ml.codegen import RTLModel
    from da4ml.trace import FixedVariableArrayInput, comb_trace

    first = graph.operations[graph.inputs[0].value]
    inputs = FixedVariableArrayInput((first.size,))
    traced = comb_trace(inputs, da4ml_values(graph, inputs))
    random = np.random.default_rng(0)
    if not isinstance(first, Input):
        raise TypeError("the first operation is no input")
    x = random.integers(first.low, first.high + 1, (CHECKED, first.size))
    made = np.array(traced.predict(x.astype(np.float64))).reshape(CHECKED, -1)
    if not np.array_equal(made, graph.evaluate([x])[graph.outputs[0].value]):
        raise ValueError("da4ml computes something else than the integers")
    RTLModel(traced, "network", folder / "da4ml", flavor="verilog", latency_cutoff=delay).write()
    written = sorted((folder / "da4ml" / "src").rglob("*.v"))
    return [file for file in written if "wrapper" not in file.name and "lookup_table" not in file.name]


def da4ml_values(graph: IntegerGraph, inputs: object) -> object:
    """The output of a chain of operations, as da4ml's symbols."""
    from da4ml.trace.ops import quantize, relu

    values: list[object] = []
    for operation in graph.operations:
        x = values[operation.sources[0]] if operation.sources else inputs
        match operation:
            case Input():
                bits = operation.high.bit_length()
                values.append(quantize(x, int(operation.low < 0), bits, 0))
            case Affine():
                values.append(products(operation, x))
            case Rearranged():
                values.append(x[operation.reads])
            case Requantised() if len(operation.multiplier) == 1:
                scaled = x * (float(operation.multiplier[0]) * 2.0**-operation.shift)
                signed = operation.low < 0
                scaled = scaled if signed else relu(scaled)
                values.append(quantize(scaled, int(signed), operation.high.bit_length(), 0, "SAT", "TRN"))
            case Clamped() if operation.low == 0:
                values.append(relu(x))
            case _:
                raise TypeError(f"{operation.op} is not translated for da4ml")
    return values[-1]


def products(operation: Affine, x: object) -> object:
    """Sums of products, position by position, as a convolution in da4ml is."""
    sums = []
    for group, positions in enumerate(operation.reads):
        for reads in positions:
            inside = reads >= 0
            weights = operation.weights[group][inside].astype(np.float64)
            sums.append(x[reads[inside]] @ weights + operation.bias[group].astype(np.float64))
    order = np.empty(operation.size, np.int64)
    order[operation.place.ravel()] = np.arange(operation.size)
    return np.concatenate(sums)[order]


def page(found: dict[str, dict[str, float]]) -> str:
    """The table of the documentation."""
    named = [name for name in DESCRIPTIONS if any(key.startswith(f"{name} ") for key in found)]
    lines = [
        "# Look-up tables beside da4ml's own flow",
        "",
        "Unrolled networks, every product an adder network of its own:"
        f" {'; '.join(DESCRIPTIONS[name] for name in named)}."
        " A register follows after three adders; the same commands of Yosys synthesise both, without DSP blocks and"
        " with sums kept as adders of two operands. edgec rounds ties to even, as ONNX does; da4ml cannot and rounds"
        " them up. Products are shared by da4ml's solver in both. Written by `python -m benchmarks.hardware_luts`.",
        "",
        "| network | family | edgec, LUTs | da4ml, LUTs | ratio | edgec, registers | da4ml, registers | accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, ours in found.items():
        name, flow, family = key.split(" ")
        theirs = found.get(f"{name} da4ml {family}")
        if flow == "edgec" and theirs is not None:
            accuracies = [f"{each['accuracy']:.2f} %" for each in (ours, theirs) if "accuracy" in each]
            lines.append(
                f"| {name} | {family} | {ours['luts']} | {theirs['luts']} | {ours['luts'] / theirs['luts']:.3f}"
                f" | {ours['registers']} | {theirs['registers']} | {', '.join(accuracies)} |"
            )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
