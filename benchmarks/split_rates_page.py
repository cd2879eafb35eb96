"""Write docs/reference/split-computing.md and its plot from the results of benchmarks/split_rates.py.

Usage: python benchmarks/split_rates_page.py [--results benchmarks/results/split-rates.json]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from pruning_cells import Cell, Results
from scatter_plot import Points, scatter_plot

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reference" / "split-computing.md"
PLOT = DOCS / "images" / "split-rates.svg"
WAYS = {
    "JPEG": "picture as JPEG",
    "WebP": "picture as WebP",
    "feature JPEG": "features as JPEG",
    "CR+BQ": "int8 channels (CR+BQ)",
    "entropic": "learnt symbols (entropic)",
}
PARAMETERS = {"JPEG": "quality", "WebP": "quality", "feature JPEG": "quality", "CR+BQ": "channels", "entropic": "price"}
INTRODUCTION = """# What split computing sends, and what it costs

Made by `benchmarks/split_rates_page.py` from the results of `benchmarks/split_rates.py`: pictures of clothes
(Fashion-MNIST, enlarged to 64×64 grey levels), a residual network of {weights:.1f} MB and {macs:.1f} million
multiply-accumulates, all 10,000 test pictures, one seed. The whole network on the server, given the uncompressed
picture, finds {accuracy:.2%}. Bytes are those of whole files and of edgec's own entropy coder, without the frames
around them; the encoder is what the device holds and computes, in float32. JPEG and WebP are Pillow's, and what they
compute on the device is not counted. Epochs are those of the new layers on 16,000 pictures, one more is of the whole
network; points of fewer epochs are of an earlier, shorter run.

Some 200 bytes of a JPEG of this size are its headers.
"""


def way_of(name: str) -> tuple[str, float]:
    """The way of a cell and its parameter."""
    way, _, parameter = name.rpartition(" ")
    return (way, float(parameter)) if way else (name, 0.0)


def table(cells: dict[str, Cell]) -> str:
    lines = [
        "| way | parameter | epochs | bytes | accuracy | encoder, kB | encoder, million MACs |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for way, said in WAYS.items():
        mine = sorted((way_of(name)[1], cell) for name, cell in cells.items() if way_of(name)[0] == way)
        for parameter, cell in mine:
            sent = f"{float(cell['bytes']):.0f}"
            if way == "CR+BQ":
                sent += f" ({float(cell['entropy_coded_bytes']):.0f} entropy-coded)"
            held, work = float(cell["encoder_bytes"]) / 1e3, float(cell["encoder_macs"]) / 1e6
            cost = f"{held:.1f} | {work:.2f}" if held else "– | –"
            head = f"| {said} | {PARAMETERS[way]} {parameter:g} | {cell.get('epochs', '–')}"
            lines.append(f"{head} | {sent} | {float(cell['accuracy']):.2%} | {cost} |")
    return "\n".join(lines)


def bytes_at(cells: dict[str, Cell], way: str, accuracy: float) -> float:
    """Fewest bytes at which a way reaches an accuracy, interpolated along its points; infinite where none does."""
    mine = [(float(c["bytes"]), float(c["accuracy"])) for name, c in cells.items() if way_of(name)[0] == way]
    points = sorted(mine)
    best = math.inf
    for index, (size, right) in enumerate(points):
        if right >= accuracy:
            best = min(best, size)
        for before, lower in points[:index]:
            if lower < accuracy <= right:
                share = (accuracy - lower) / (right - lower)
                best = min(best, math.exp(math.log(before) + share * (math.log(size) - math.log(before))))
    return best


def findings(cells: dict[str, Cell], whole: Cell) -> str:
    """What the points say: the learnt symbols against the int8 channels, and the int8 channels against pictures."""
    lines = []
    for name, cell in sorted(cells.items(), key=lambda item: float(item[1]["bytes"])):
        if way_of(name)[0] != "CR+BQ":
            continue
        right, sent = float(cell["accuracy"]), float(cell["bytes"])
        needed = bytes_at(cells, "entropic", right)
        said = f"{1 - needed / sent:.0%} fewer" if needed < math.inf else "not reached"
        channels = f"{way_of(name)[1]:g} int8 channels ({right:.2%}, {sent:.0f} bytes)"
        lines.append(f"- Learnt symbols at the accuracy of {channels}: {said}.")
    goal = float(cells["uncompressed"]["accuracy"]) - 0.006
    sizes = {way: bytes_at(cells, way, goal) for way in WAYS}
    listed = ", ".join(f"{said} {_size(sizes[way])}" for way, said in WAYS.items())
    lines.append(f"- Within 0.6 points of the whole network: {listed} bytes.")
    encoder = max(
        float(cell["encoder_bytes"]) for name, cell in cells.items() if way_of(name)[0] in ("CR+BQ", "entropic")
    )
    lines.append(
        f"- The largest of the encoders is {float(whole['weight_bytes']) / encoder:.0f} times smaller than the network."
    )
    return "\n".join(lines)


def _size(number: float) -> str:
    return f"{number:.0f}" if number < math.inf else "(none)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "split-rates.json")
    options = parser.parse_args()
    found = Results(options.results).cells
    whole = found["network"]
    cells = {name: cell for name, cell in found.items() if name != "network"}
    points = {
        said: Points(
            tuple((float(c["bytes"]), 100 * float(c["accuracy"])) for n, c in cells.items() if way_of(n)[0] == way)
        )
        for way, said in WAYS.items()
    }
    PLOT.write_text(scatter_plot("Accuracy (%) against bytes a picture", points), encoding="utf-8")
    introduction = INTRODUCTION.format(
        weights=float(whole["weight_bytes"]) / 1e6,
        macs=float(whole["macs"]) / 1e6,
        accuracy=float(cells["uncompressed"]["accuracy"]),
    )
    picture = f"![Accuracy against bytes](../images/{PLOT.name})"
    text = f"{introduction}\n{picture}\n\n## Findings\n\n{findings(cells, whole)}\n\n## All points\n\n{table(cells)}\n"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
