"""The compressor of the HL-LHC as an integrated circuit: edgec's estimates beside the published chip.

    python examples/hllhc_compressor/train.py --out out/hllhc
    python -m benchmarks.hardware_asic out/hllhc/seed0 [--bits 144 112] [--only NAME …] [--liberty FILE]

Every configuration is mapped to cells and simulated on a thousand showers that no training saw, and must give the bits
of the integers. Results are written after each to results/hardware-asic.json, and those that are there already are not
computed again; the table goes to docs/reference/hardware-asic.md. Nothing in the estimate was fitted to the chip: the
areas, delays and energies of `hw/cells/generic-65nm.toml` have sources of their own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgec.backends.executor import execute
from edgec.backends.rtl.backend import RtlBackend
from edgec.backends.rtl.hardware_description import FILE_NAME, HardwareDescription
from edgec.backends.rtl.recognition import integer_graph
from edgec.core.progress import Silent
from edgec.core.target import Asic, Target
from edgec.core.target_files import load_target
from edgec.core.target_quantity import Basis, Quantity
from edgec.graph.load import load_model
from edgec.measure.rtl_simulation import simulate
from edgec.measure.silicon_cost import silicon_figures

RESULTS = Path(__file__).parent / "results" / "hardware-asic.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "hardware-asic.md"
PAPER = {"core_mm2": 3.6, "power_mw": 95.0, "energy_nj": 2.4}
"""Di Guglielmo et al., A reconfigurable neural network ASIC for detector front-end data compression at the HL-LHC,
IEEE Trans. Nucl. Sci. 68 (2021), arXiv:2105.01683, abstract."""

SAME = "registers, three copies"
CONFIGURATIONS: dict[str, dict[str, object]] = {
    SAME: {"weights": "registers", "triple_registers": True},
    "registers, single": {"weights": "registers"},
    "hard-wired, three copies": {"triple_registers": True},
    "hard-wired, single": {},
    "hard-wired, single, 6 adders a cycle": {"adders_per_cycle": 6},
    "hard-wired, single, 3 adders a cycle": {"adders_per_cycle": 3},
    "hard-wired, single, 2 adders a cycle": {"adders_per_cycle": 2},
}
EXAMPLE = Path(__file__).parents[1] / "examples" / "hllhc_compressor"
UNSEEN = 777
"""Seed of the showers; those of the trainings are small, or from 10,000 on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a seed of examples/hllhc_compressor/train.py")
    parser.add_argument("--bits", type=int, nargs="+", default=[144], help="of all codes together")
    parser.add_argument("--liberty", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=list(CONFIGURATIONS), default=list(CONFIGURATIONS))
    options = parser.parse_args()
    samples = showers(options.samples)
    trained = json.loads((options.folder / "results.json").read_text())
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    suffix = f" ({options.liberty.name})" if options.liberty else ""
    for bits in options.bits:
        row = next(each for each in trained if (each["bits"], each["way"]) == (bits, "autoencoder"))
        for name in options.only:
            key = f"{bits} bits: {name}{suffix}"
            if key not in found:
                changes = CONFIGURATIONS[name] | ({"cells": str(options.liberty)} if options.liberty else {})
                found[key] = measure(options.folder / f"encoder-{bits}.onnx", samples, changed(changes))
                found[key]["distance"] = row["distances"]["all modules"]
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(key, json.dumps(found[key]), flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


def showers(count: int) -> np.ndarray:
    """Showers of the example's generator as the encoder reads them, float32 [N, 1, 8, 8]."""
    sys.path.insert(0, str(EXAMPLE))
    from autoencoder import encoder_input
    from showers import fractions, make_showers

    return np.asarray(encoder_input(fractions(make_showers(count, UNSEEN))).numpy())


def changed(changes: dict[str, object]) -> Target:
    """The target with other choices."""
    target = load_target("asic-65nm-lp")
    if target.asic is None:
        raise TypeError("the target has no section [asic]")
    adders = changes.get("adders_per_cycle")
    if isinstance(adders, int):
        changes = changes | {"adders_per_cycle": Quantity(value=adders, basis=Basis.ASSUMED, source="chosen here")}
    return target.model_copy(update={"asic": target.asic.model_copy(update=changes)})


def measure(model_file: Path, samples: np.ndarray, target: Target) -> dict[str, object]:
    """Build, simulate and weigh one configuration."""
    model = load_model(model_file, quantisers=True).model
    plan = RtlBackend().plan(model, target, name="encoder", threads=1, progress=Silent())
    graph = integer_graph(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute(plan, folder, Silent())
        shape, given, made = (
            plan.interface.inputs[0].shape,
            plan.interface.inputs[0].name,
            plan.interface.outputs[0].name,
        )
        activity = simulate(folder, plan.interface, [{given: row.reshape(shape)} for row in samples])
        outputs = np.concatenate([row[made].reshape(1, -1) for row in activity.outputs])
        integers = graph.evaluate(graph.quantise_inputs([samples.reshape(len(samples), -1)]))
        if not np.array_equal(outputs, graph.dequantise_outputs(integers)[0].reshape(len(samples), -1)):
            raise ValueError("the gates compute something else than the network")
        description = HardwareDescription.model_validate_json((folder / FILE_NAME).read_text())
        asic = target.asic
        if not isinstance(asic, Asic):
            raise TypeError("the target has no section [asic]")
        figures = silicon_figures(folder, asic, activity, len(samples))
    return asdict(figures) | {
        "latency_cycles": description.latency_cycles,
        "samples": len(samples),
    }


def page(found: dict[str, dict[str, Any]]) -> str:
    """The table of the documentation."""
    lines = [
        "# The HL-LHC compressor as an integrated circuit",
        "",
        "Estimates for the encoder of `examples/hllhc_compressor` (48 cells on 8 x 8, 8 filters of 3 x 3, 16 outputs,"
        " 6-bit weights) at one inference each 25 ns, in the generic cells of `hw/cells/generic-65nm.toml`, beside the"
        " published chip (Di Guglielmo et al., arXiv:2105.01683). Each was simulated on 1,000 showers that no training"
        " saw and gives the bits of the integers; the distance is the energy mover's of the table in that example."
        " Circuits of one network compute the same and have the same distance. Written by"
        " `python -m benchmarks.hardware_asic`.",
        "",
        "| configuration | distance | core, mm2 | power, mW | energy, nJ | clock's, nJ | registers | cells | path, ns"
        " | cycles |",
        "|---|---|---|---|---|---|---|---|---|---|",
        f"| published chip | | {PAPER['core_mm2']} | {PAPER['power_mw']:g} | {PAPER['energy_nj']} | | | | | |",
    ]
    for name, row in found.items():
        lines.append(
            f"| {name} | {row['distance']:.4f} | {row['core_mm2']:.2f} | {row['power_mw']:.1f} | {row['energy_nj']:.2f}"
            f" | {row['clock_nj']:.2f} | {row['registers']} | {row['cells']} | {row['critical_ps'] / 1e3:.1f}"
            f" | {row['latency_cycles']} |"
        )
    same = found.get(f"144 bits: {SAME}")
    if same is not None:
        lines += ["", *compared(same, {name: row for name, row in found.items() if name.startswith("144 bits")})]
    return "\n".join([*lines, ""])


def compared(same: dict[str, Any], found: dict[str, dict[str, Any]]) -> list[str]:
    """The chip's own architecture beside the chip, and the circuit of least energy in our own cells."""
    ratios = ", ".join(f"{same[key] / value:.2f}" for key, value in PAPER.items())
    parts = sorted(same["parts_mm2"].items(), key=lambda part: -part[1])
    ours = {name: row for name, row in found.items() if "(" not in name}
    lines = [
        f"The chip's architecture (`{SAME}`), estimate over published: {ratios} (area, power, energy). Of its cells,"
        f" before placement: {', '.join(f'{area:.2f} mm2 {part}' for part, area in parts)}.",
    ]
    if ours:
        best = min(ours, key=lambda name: float(ours[name]["energy_nj"]))
        gains = ", ".join(f"{ours[best][key] / value:.2f}" for key, value in PAPER.items())
        lines += [
            "",
            f"The least energy at the same distance: `{best}`, estimate over published: {gains}. What is given up for"
            " it: hard-wired weights cannot be loaded anew, and single registers are not protected from radiation.",
        ]
    return [
        *lines,
        "",
        "Yosys makes adders of single gates where other synthesisers have full-adder cells, which is likely to cost"
        " area and energy; that was not measured. Energy depends on the showers and the weights, which are ours and"
        " not the experiment's.",
    ]


if __name__ == "__main__":
    main()
