"""Accuracy and look-up tables of the jet tagger in few bits, beside published numbers for the same widths.

    python examples/jet_tagging/train.py --out out/jets
    python -m benchmarks.jet_tagging out/jets            # needs the extras qat and fpga, and g++
    python -m benchmarks.jet_tagging --render            # docs/reference/jet-tagging.md only

Each recipe of examples/jet_tagging/recipes is one `edgec build` for the ZCU102: training in few bits, the project for
Vitis, its C simulation bit for bit, and the accuracy on the held-out jets. Its look-up tables are counted twice: as the
estimate of that build, and by Yosys for the `rtl` backend's Verilog of the same integers, unrolled, without DSP blocks.
A finished build or count is not done again. Results: benchmarks/results/jet-tagging.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.hardware_luts import measure
from edgec.backends.rtl.recognition import integer_graph
from edgec.cli.main import main as edgec
from edgec.graph.load import load_model

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "examples" / "jet_tagging" / "recipes"
RESULTS = Path(__file__).parent / "results" / "jet-tagging.json"
PAGE = ROOT / "docs" / "reference" / "jet-tagging.md"
TARGET, FAMILY, ADDERS = "zcu102", "ecp5", 3

COELHO = "Coelho et al. 2021, VU9P"
PUBLISHED = (
    ("float, 16-64-32-32-5", 76.6, None, "hls4ml's companion of the compressor"),
    ("6 bits (QKeras)", 76.4, None, "hls4ml's companion of the compressor"),
    ("14 bits, not trained for it", 74.4, 48_321, COELHO),
    ("6 bits (Q6)", 74.8, 39_782, COELHO),
    ("found by AutoQKeras (QE)", 72.3, 9_149, COELHO),
)
"""What, accuracy in percent, look-up tables after the vendor's synthesis, source. Coelho's are from memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="with jets.onnx and data.npz")
    parser.add_argument("--recipes", nargs="*", help="names of recipes; all unless said")
    parser.add_argument("--render", action="store_true", help="write the page only")
    parser.add_argument("--no-count", action="store_true", help="leave Yosys out, which takes minutes a network")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not options.render:
        if options.folder is None:
            parser.error("name the folder that examples/jet_tagging/train.py wrote")
        for recipe in sorted(RECIPES.glob("*.toml")):
            if not options.recipes or recipe.stem in options.recipes:
                if recipe.stem not in found:
                    found[recipe.stem] = built(recipe, options.folder)
                if not options.no_count and "luts" not in found[recipe.stem]:
                    found[recipe.stem] |= counted(options.folder / recipe.stem / "model.onnx")
                RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
                print(recipe.stem, found[recipe.stem], flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


def built(recipe: Path, folder: Path) -> dict[str, float | str]:
    """Build with one recipe: accuracy and the estimate of its tables."""
    out = folder / recipe.stem
    if not (out / "report.json").exists():
        command = ["build", str(folder / "jets.onnx"), "--data", str(folder / "data.npz"), "--recipe", str(recipe)]
        if edgec([*command, "--target", TARGET, "--out", str(out), "--quiet"]) != 0:
            raise SystemExit(f"the build of {recipe.stem} failed")
    report = json.loads((out / "report.json").read_text())
    classes = report["audit"]["by_class"]
    total = sum(each["samples"] for each in classes)
    accuracy = {
        when: 100 * sum(each[when] * each["samples"] for each in classes) / total for when in ("before", "after")
    }
    estimate = report["metrics"]["luts"]
    return {
        "what": recipe.read_text().splitlines()[0].removeprefix("# ").removesuffix("."),
        "float": accuracy["before"],
        "accuracy": accuracy["after"],
        "estimated_luts": estimate["value"],
        "least_luts": estimate["low"],
        "most_luts": estimate["high"],
    }


def counted(model: Path) -> dict[str, float]:
    """Tables and registers of the Verilog of a quantised model."""
    found = measure(integer_graph(load_model(model, quantisers=True).model), "edgec", FAMILY, ADDERS)
    return {name: found[name] for name in ("luts", "registers")}


def page(found: dict[str, dict[str, float | str]]) -> str:
    """The table of the documentation."""
    floats = {round(float(each["float"]), 2) for each in found.values()}
    lines = [
        "# Jet tagging in few bits",
        "",
        "A network 16-64-32-32-5 that tells five kinds of jets apart, trained by `train-quantized`, as",
        "`python -m benchmarks.jet_tagging` writes it. **The jets are made up** (`examples/jet_tagging/jets.py`: a",
        "shower on the Lund plane, neither Pythia nor a detector), so accuracies here and published ones are of",
        "different data; that they are close is chance. Look-up tables follow from widths and weights and compare",
        "better, but ours are counted by Yosys for an ECP5, whose tables have four inputs where the vendor's have six,",
        "and theirs by the vendor after synthesis. Beside da4ml's own flow: [look-up tables](hardware-luts.md).",
        "",
        f"Ours, one seed, 10,000 held-out jets; in float {', '.join(f'{each:.2f} %' for each in sorted(floats))}:",
        "",
        "| bits | accuracy | lost, points | LUTs, Yosys | registers | LUTs, estimate for Vitis (band) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['what']} | {each['accuracy']:.2f} % | {float(each['float']) - float(each['accuracy']):.2f}"
        f" | {_whole(each.get('luts'))} | {_whole(each.get('registers'))}"
        f" | {each['estimated_luts']:,.0f} ({each['least_luts']:,.0f} to {each['most_luts']:,.0f}) |"
        for each in found.values()
    ]
    lines += [
        "",
        "Published, for the jets of the hls4ml project:",
        "",
        "| what | accuracy | LUTs | source |",
        "|---|---|---|---|",
    ]
    lines += [f"| {what} | {accuracy} % | {_whole(luts)} | {source} |" for what, accuracy, luts, source in PUBLISHED]
    lines += [
        "",
        "Coelho et al., “Automatic heterogeneous quantization of deep neural networks for low-latency inference on the",
        "edge for particle detectors”, Nature Machine Intelligence 3, 2021; its numbers are quoted from memory.",
    ]
    return "\n".join([*lines, ""])


def _whole(number: float | str | None) -> str:
    return "not known" if number is None else f"{number:,}"


if __name__ == "__main__":
    main()
