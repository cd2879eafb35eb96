"""Real networks, pruned without training: how often they still say what the original says, on photographs.

Usage: python benchmarks/pruning_photographs.py FOLDER [--out FILE.json]
FOLDER holds photographs_rgb.npz and photographs_bgr.npz of benchmarks/quantization_data.py; the networks are those of
the folder that EDGEC_MODELS names. What is removed is made up for from 48 of them. `constrained`: more goes where the
Raspberry Pi 4 saves most time for what is lost; `by weights`: the same, with what is lost judged by weights alone;
`unconstrained`: the same share everywhere, each layer its own range. Agreement is the share of other photographs for
which the first class is that of the original.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from pruning_cells import Results, answers, prepared

from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.target_files import load_target
from edgec.graph.cost import model_size

NETWORKS = {"efficientnet_lite0": "photographs_rgb.npz", "squeezenet1_1_ndf": "photographs_bgr.npz"}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
VARIANTS: dict[str, dict[str, str]] = {
    "constrained": {},
    "constrained by weights": {"criterion": "l2"},
    "unconstrained": {"mode": "unconstrained", "pick": "view"},
}
TARGET = "raspberry-pi-4"
_SAMPLES, _EVALUATED, _BATCH = 48, 240, 20


def prune_all(models: Path, folder: Path, results: Results) -> None:
    for network, data in NETWORKS.items():
        arrays = np.load(folder / data)
        pixels, calibration = arrays["evaluation/x"][:_EVALUATED], arrays["calibration/x"][:_SAMPLES]
        whole = prepared(models / f"{network}.onnx")
        name = str(whole.graph.inputs[0].name)
        samples = [{name: image[None]} for image in calibration]
        macs, expected = model_size(whole).macs, answers(whole, pixels, _BATCH)
        for variant, options in VARIANTS.items():
            for share in SHARES if variant != "constrained by weights" else SHARES[:1]:
                cell = f"{network}, {variant}, {share}"
                if not results.lacks(cell, "agreement"):
                    continue
                # The goal of all is the work that is left: one minus the share.
                step = make_pass("prune-channels", {**options, "target_macs": 1 - share})
                model = whole.clone()
                started = time.perf_counter()
                result = step.run(model, PassContext(target=load_target(TARGET), calibration=samples))
                seconds = time.perf_counter() - started
                found = answers(result.model, pixels, _BATCH)
                results.put(
                    cell,
                    agreement=float((found == expected).mean()),
                    seconds=round(seconds, 2),
                    **{
                        "multiply-accumulates left": model_size(result.model).macs / macs,
                        "predicted time left": float(result.stats["predicted time left"]),
                    },
                )


def tables(results: Results) -> str:
    """Markdown: one row a cell."""
    lines = [
        "| network | pruning | multiply-accumulates left | predicted time left | agreement |",
        "|---|---|--:|--:|--:|",
    ]
    for name, cell in sorted(results.cells.items()):
        network, kind, _ = name.split(", ")
        shares = [float(cell[field]) for field in ("multiply-accumulates left", "predicted time left", "agreement")]
        lines.append(f"| {network} | {kind} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pruning-photographs.json"))
    options = parser.parse_args()
    models = os.environ.get("EDGEC_MODELS")
    if models is None:
        raise SystemExit("EDGEC_MODELS names no folder with models")
    results = Results(options.out)
    prune_all(Path(models), options.folder, results)
    print(tables(results))


if __name__ == "__main__":
    main()
