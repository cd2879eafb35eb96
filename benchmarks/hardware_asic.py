"""The compressor of the HL-LHC as an integrated circuit: edgec's estimates beside the published chip.

    python examples/hllhc_compressor/train.py --out out/hllhc
    python -m benchmarks.hardware_asic out/hllhc/seed0/encoder-144.onnx out/hllhc/seed0/data.npz
        [--liberty FILE] [--only NAME …]

Every configuration is mapped to cells and simulated on the showers of the data, and must give the bits of the integers.
Results are written after each to results/hardware-asic.json, and those that are there already are not computed again;
the table goes to docs/reference/hardware-asic.md. Nothing in the estimate was fitted to the chip: the areas, delays and
energies of `hw/cells/generic-65nm.toml` have sources of their own.
"""

from __future__ import annotations

import argparse
import json
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
    "hard-wired, three copies, 4 adders a cycle": {"triple_registers": True, "adders_per_cycle": 4},
    "hard-wired, single": {},
    "hard-wired, single, 4 adders a cycle": {"adders_per_cycle": 4},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--liberty", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=list(CONFIGURATIONS), default=list(CONFIGURATIONS))
    options = parser.parse_args()
    with np.load(options.data, allow_pickle=False) as arrays:
        pictures = arrays["evaluation/x"].astype(np.float32)
    samples = pictures[np.random.default_rng(0).integers(0, len(pictures), options.samples)]
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    suffix = f" ({options.liberty.name})" if options.liberty else ""
    for name in options.only:
        key = name + suffix
        if key not in found:
            changes = CONFIGURATIONS[name] | ({"cells": str(options.liberty)} if options.liberty else {})
            found[key] = measure(options.encoder, samples, changed(changes))
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(key, json.dumps(found[key]), flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


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
        " published chip (Di Guglielmo et al., arXiv:2105.01683). All configurations give the same bits on"
        " 1,000 showers. Written by `python -m benchmarks.hardware_asic`.",
        "",
        "| configuration | core, mm2 | power, mW | energy, nJ | clock's, nJ | registers | cells | path, ns | cycles |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| published chip | {PAPER['core_mm2']} | {PAPER['power_mw']:g} | {PAPER['energy_nj']} | | | | | |",
    ]
    for name, row in found.items():
        lines.append(
            f"| {name} | {row['core_mm2']:.2f} | {row['power_mw']:.1f} | {row['energy_nj']:.2f} | {row['clock_nj']:.2f}"
            f" | {row['registers']} | {row['cells']} | {row['critical_ps'] / 1e3:.1f} | {row['latency_cycles']} |"
        )
    if SAME in found:
        ratios = ", ".join(f"{found[SAME][key] / value:.2f}" for key, value in PAPER.items())
        parts = sorted(found[SAME]["parts_mm2"].items(), key=lambda part: -part[1])
        lines += [
            "",
            f"Same architecture, estimate over published: {ratios} (area, power, energy).",
            "",
            f"Of the cells of `{SAME}`, before placement: "
            + ", ".join(f"{area:.2f} mm2 {part}" for part, area in parts)
            + ". Yosys makes adders of single gates where other synthesisers have full-adder cells, which is likely to"
            " cost area and energy; that was not measured. Energy depends on the showers and the weights, which are"
            " ours and not the experiment's.",
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
