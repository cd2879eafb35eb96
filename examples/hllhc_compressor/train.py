"""Train the compressor, compare it with what the chip does without it, and export it for `edgec build`.

    python examples/hllhc_compressor/train.py --out out/hllhc --build

Writes for each seed encoder-BITS.onnx, data.npz, showers.svg and results.json, then tables.md over them, and with
`--build` the circuit and the project of the largest encoder of the first seed. Needs torch and brevitas (the extra
`qat`) and POT. About three minutes a seed on one idle thread; a seed that has its results.json is not trained again.
`--readme` puts the tables into the page of this example.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from comparison import CODE_BITS, CODES, Comparison, Effort
from pictures import write_pictures
from tables import read_rows, tables

BUILDS = {"asic-65nm-lp": "asic", "zcu102": "vitis"}
"""Targets, and the folder of each."""

_BEGIN, _END = "<!-- tables of train.py -->", "<!-- end -->"
_SHOWN = ("autoencoder", "super-cells", "largest cells")


def draw(comparison: Comparison, path: Path) -> None:
    """Four modules before and after the smallest and the largest size."""
    shown = {"before": comparison.wanted}
    for bits in (CODE_BITS[0] * CODES, CODE_BITS[-1] * CODES):
        shown |= {f"{way}, {bits}": comparison.decoded[bits, way] for way in _SHOWN}
    write_pictures(shown, range(4), path)


def build(folder: Path, out: Path) -> int:
    """`edgec build` of the encoder with 9 bits a code for both targets; the worst exit status."""
    from edgec.cli.main import main as edgec

    worst = 0
    for target, name in BUILDS.items():
        model, data = folder / f"encoder-{CODE_BITS[-1] * CODES}.onnx", folder / "data.npz"
        command = ["build", str(model), "--target", target, "--data", str(data), "--out", str(out / name)]
        print("edgec", *command, flush=True)
        worst = max(worst, edgec(command))
    return worst


def put_into_page(text: str) -> None:
    """Replace what stands between the two marks of README.md."""
    page = Path(__file__).parent / "README.md"
    before, rest = page.read_text(encoding="utf-8").split(_BEGIN)
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{rest.split(_END)[1]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--build", action="store_true", help="also run edgec build")
    parser.add_argument("--readme", action="store_true", help="also put the tables into README.md")
    for name, value in vars(Effort()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = vars(parser.parse_args())
    out, seeds, wants_build, wants_page = (options.pop(name) for name in ("out", "seeds", "build", "readme"))
    torch.set_num_threads(1)
    folders = [out / f"seed{seed}" for seed in seeds]
    for seed, folder in zip(seeds, folders, strict=True):
        if not (folder / "results.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            comparison = Comparison(seed, Effort(**options), folder)
            comparison.run()
            draw(comparison, folder / "showers.svg")
    text = tables(read_rows(folders))
    (out / "tables.md").write_text(text, encoding="utf-8")
    print(text)
    if wants_page:
        put_into_page(text)
    return build(folders[0], out) if wants_build else 0


if __name__ == "__main__":
    sys.exit(main())
