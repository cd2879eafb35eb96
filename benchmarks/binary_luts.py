"""Look-up tables of a binary layer: a count for each channel, counts along a spanning tree, and da4ml's optimiser.

    python benchmarks/binary_luts.py [--channels 64] [--width 576] [--weights random clustered FILE.onnx …]
                                     [--families ecp5 xilinx] [--out benchmarks/results/binary-luts.json]

`random` are random signs; `clustered` are a common pattern with a tenth of the signs turned round at random, as
weights are that were trained for short trees; a file is a binary network, of which the first layer of that many
channels and weights is taken (of the study of accuracy, `vgg-small-seed0-mst16x8.onnx`: λ = 16, eight epochs). All
three designs compute the same sums from the same bits, without registers, and are synthesised by the same commands of
Yosys; a carry cell of the ECP5 counts as its two look-up tables. Yosys proves nothing about its own result: on sums
of hundreds of bits that proof did not end in half an hour, and for ECP5 its newer mapper was no nearer to an end.
Results are written after each design, and those that are there already are not computed again.
docs/reference/binary-luts.md shows them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgec.backends.rtl.binary_products import counting_module
from edgec.backends.rtl.constant_products import ProductModule, product_module, supporting_modules
from edgec.backends.rtl.integer_graph import Interval
from edgec.graph.spanning_tree import Signs, spanning_tree
from edgec.passes.binary_layers import find_binary_layers

OUT = Path("benchmarks/results/binary-luts.json")
PAGE = Path("docs/reference/binary-luts.md")
FLIPS = 0.1
NO_STAGES = 1_000_000
DESIGNS = ("tree", "naive", "da4ml")
SYNTHESIS = {
    "ecp5": "synth_ecp5 -noabc9 -top {top}",
    "xilinx": "synth_xilinx -flatten -noiopad -noclkbuf -top {top}",
}
TABLES = {"ecp5": {"LUT4": 1, "CCU2C": 2}, "xilinx": {"INV": 1, **{f"LUT{inputs}": 1 for inputs in range(1, 7)}}}
LOOKUP_INPUTS = {"ecp5": 4, "xilinx": 6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--weights", nargs="+", default=["random", "clustered"])
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=DESIGNS)
    parser.add_argument("--families", nargs="+", choices=sorted(SYNTHESIS), default=sorted(SYNTHESIS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for weights in options.weights:
        signs = signs_of(weights, options.channels, options.width)
        for design in options.designs:
            for family in options.families:
                key = f"{options.channels}x{options.width} {Path(weights).stem} {design} {family}"
                if key not in found:
                    found[key] = measure(signs, design, family)
                    options.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
                print(f"{key}: {found[key]['luts']} tables in {found[key]['seconds']} s", flush=True)
    PAGE.write_text(page(found))


def signs_of(weights: str, channels: int, width: int) -> Signs:
    random = np.random.default_rng(0)
    if weights == "random":
        return random.choice(np.array([-1, 1], np.int8), (channels, width))
    if weights == "clustered":
        base = random.choice(np.array([-1, 1], np.int8), width)
        return np.where(random.random((channels, width)) < FLIPS, -base, base).astype(np.int8)
    layers = [signs for layer in find_binary_layers(ir.load(weights))[0] for signs in layer.signs]
    return next(signs for signs in layers if signs.shape == (channels, width))


def design_of(signs: Signs, design: str, family: str) -> ProductModule:
    zeros = np.zeros(len(signs), np.int64)
    if design == "da4ml":
        bits = Interval(np.zeros(signs.shape[1], np.int64), np.ones(signs.shape[1], np.int64))
        return product_module("layer", signs.T.astype(np.int64), zeros, bits, NO_STAGES)
    tree = spanning_tree(signs) if design == "tree" else None
    return counting_module("layer", signs, zeros, tree, LOOKUP_INPUTS[family], pipelined=False)


def measure(signs: Signs, design: str, family: str) -> dict[str, float | int]:
    started = time.monotonic()
    module = design_of(signs, design, family)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "\n".join([*module.sources.values(), *(supporting_modules().values() if design == "da4ml" else ())])
        (folder / "layer.v").write_text(text)
        commands = [
            "scratchpad -set abc9.verify 0",
            f"read_verilog {folder}/layer.v",
            SYNTHESIS[family].format(top="layer"),
            f"tee -o {folder}/stat.json stat -json",
        ]
        (folder / "script.ys").write_text("\n".join(commands) + "\n")
        command = [sys.executable, "-m", "edgec.backends.rtl.run_tool", "yosys", str(folder / "script.ys")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        cells = Counter(json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"])
    luts = sum(cells[cell] * each for cell, each in TABLES[family].items())
    return {"luts": luts, "adders": int(module.adders), "seconds": round(time.monotonic() - started)}


def page(found: dict[str, dict[str, float | int]]) -> str:
    """The table of every layer, weights and family of which there are all three designs."""
    lines = [
        "# Look-up tables of binary layers",
        "",
        "A layer of signs as logic without registers: one count for each channel, counts along a spanning tree, and",
        "da4ml's optimiser. Carry chains are counted in the ECP5's tables, and not in Xilinx's, where they are cells",
        "of their own. Written by `benchmarks/binary_luts.py`, by the same commands of Yosys for all.",
        "",
        "Weights are named as in [the study of accuracy](binary-accuracy.md): `mst16x8` are those of λ = 16 and eight",
        "epochs, `mst16` those of λ = 16 by products and three epochs.",
        "",
        "| layer | weights | family | a count each | tree | da4ml | tree / count each | best / count each | best |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for layer, weights, family in dict.fromkeys((k.split(" ")[0], k.split(" ")[1], k.split(" ")[3]) for k in found):
        keys = [f"{layer} {weights} {design} {family}" for design in ("naive", "tree", "da4ml")]
        if not all(key in found for key in keys):
            continue
        naive, tree, other = (found[key]["luts"] for key in keys)
        best, fewest = ("tree", tree) if tree <= other else ("da4ml", other)
        cells = (layer, weights, family, naive, tree, other, f"{tree / naive:.3f}", f"{fewest / naive:.3f}", best)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
