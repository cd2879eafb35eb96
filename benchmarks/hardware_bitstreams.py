"""Networks to bitstreams by the open tools: cells, clock, cycles, and whether the same seed gives the same bytes.

    python -m benchmarks.hardware_bitstreams [--network mlp encoder NAME=FILE.onnx …] [--targets ecp5-85k]

Each network is built twice. Its synthesised netlist must give the bits of the integers on 1,000 random inputs, and both
builds the same bitstream. Results are written after each to results/hardware-bitstreams.json, and those that are there
already are not computed again; the table goes to docs/reference/hardware-bitstreams.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir

from benchmarks import hls_networks
from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan
from edgec.backends.rtl.backend import RtlBackend
from edgec.backends.rtl.hardware_description import FILE_NAME, MAPPED, PLACED, HardwareDescription
from edgec.backends.rtl.recognition import integer_graph
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.graph.load import load_model
from edgec.measure.rtl_simulation import Activity, simulate

RESULTS = Path(__file__).parent / "results" / "hardware-bitstreams.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "hardware-bitstreams.md"
NETWORKS = {"mlp": hls_networks.mlp, "encoder": hls_networks.encoder}
CHECKED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=list(NETWORKS))
    parser.add_argument("--targets", nargs="+", default=["ecp5-85k"])
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for network in options.network:
        name, _, file = network.partition("=")
        model = load_model(Path(file), quantisers=True).model if file else NETWORKS[name]()
        for target in options.targets:
            key = f"{name} {target}"
            if key not in found:
                found[key] = measure(model, target)
                RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(key, found[key], flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


def measure(model: ir.Model, target: str) -> dict[str, object]:
    """Build a network twice, and simulate it."""
    plan = RtlBackend().plan(model, load_target(target), name="network", threads=1, progress=Silent())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "first"
        begin = time.monotonic()
        execute(plan, folder, Silent())
        seconds = time.monotonic() - begin
        execute(plan, Path(name) / "second", Silent())
        digests = {digest(Path(name) / each / plan.library) for each in ("first", "second")}
        activity = checked(model, plan, folder)
        return figures(folder, activity) | {
            "seconds": round(seconds),
            "bitstream_bytes": (folder / plan.library).stat().st_size,
            "same_bytes": len(digests) == 1,
            "inputs": CHECKED,
        }


def checked(model: ir.Model, plan: BuildPlan, folder: Path) -> Activity:
    """The simulation of random inputs, if it gives the bits of the integers."""
    graph = integer_graph(model)
    spec = plan.interface.inputs[0]
    x = np.random.default_rng(3).normal(0, 1, (CHECKED, *spec.shape[1:])).astype(np.float32)
    activity = simulate(folder, plan.interface, [{spec.name: row[None]} for row in x])
    made = np.concatenate([row[plan.interface.outputs[0].name].reshape(1, -1) for row in activity.outputs])
    wanted = graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]
    if not np.array_equal(made, wanted.reshape(CHECKED, -1)):
        raise ValueError("the circuit computes something else than the network")
    return activity


def figures(folder: Path, activity: Activity) -> dict[str, object]:
    """What place-and-route and the simulation report."""
    description = HardwareDescription.model_validate_json((folder / FILE_NAME).read_text())
    placed = json.loads((folder / PLACED).read_text())
    used = {cell: row["used"] for cell, row in placed["utilization"].items() if row["used"]}
    mapped = (folder / MAPPED).read_text()
    cells = json.loads(mapped[mapped.index("{") :])["design"]["num_cells_by_type"]
    clocks = [row["achieved"] for row in placed["fmax"].values()]
    return {
        "architecture": description.architecture,
        "cells": used,
        "registers": sum(count for cell, count in cells.items() if "FF" in cell),
        "fmax_mhz": round(min(clocks), 1),
        "cycles": description.latency_cycles or activity.latency_cycles,
        "interval": description.initiation_interval or activity.interval_cycles,
    }


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def page(found: dict[str, dict[str, object]]) -> str:
    """The table of the documentation."""
    lines = [
        "# Networks to bitstreams",
        "",
        "Networks with 6-bit weights from a seed: `mlp` is 16-64-32-32-5, `encoder` a compressor of 48 cells."
        f" Simulation of the synthesised netlist gave the bits of the integers on {CHECKED} inputs. Cells"
        " are nextpnr's, after routing. Written by `python -m benchmarks.hardware_bitstreams`.",
        "",
        "| network | target | architecture | cells | MHz | cycles | interval | same bytes twice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, row in found.items():
        name, target = key.split(" ")
        used = row["cells"]
        cells = ", ".join(f"{count} {cell}" for cell, count in used.items()) if isinstance(used, dict) else ""
        same = "yes" if row["same_bytes"] else "no"
        lines.append(
            f"| {name} | {target} | {row['architecture']} | {cells} | {row['fmax_mhz']} | {row['cycles']}"
            f" | {row['interval']:g} | {same} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
