"""Write docs/reference/split-computing.md and its plots from what the benchmarks of split computing found.

Usage: python benchmarks/split_rates_page.py [--results benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Collection
from pathlib import Path

from pruning_cells import Cell, Results
from scatter_plot import Points, scatter_plot
from split_coder import GROUPS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "reference" / "split-computing.md"
PLOTS = DOCS / "images"
WAYS = {
    "JPEG": "picture as JPEG",
    "WebP": "picture as WebP",
    "feature JPEG": "features as JPEG",
    "CR+BQ": "int8 channels (CR+BQ)",
    "entropic": "learnt symbols (entropic)",
    "CR+BQ, tuned": "int8 channels, tuned",
    "entropic, tuned": "learnt symbols, tuned",
}
PARAMETERS = {"CR+BQ": "channels", "entropic": "price", "CR+BQ, tuned": "channels", "entropic, tuned": "price"}
USUAL = "JPEG 75"
"""The quality that Pillow takes unless it is told otherwise, as cameras and libraries do."""
LOSS = 0.006
INTRODUCTION = """# What split computing sends, and what it costs

Made by `benchmarks/split_rates_page.py` from the results of `benchmarks/split_rates.py`,
`split_photograph_rates.py`, `split_coder.py`, `split_link.py`, `split_fuzz.py` and `split_exits.py`.

## Pictures of clothes

Pictures of clothes (Fashion-MNIST, enlarged to 64×64 grey levels), a residual network of {weights:.1f} MB and
{macs:.1f} million multiply-accumulates, all 10,000 test pictures, one seed. The whole network on the server, given the
uncompressed picture, finds {accuracy:.2%}. Bytes are those of whole files and of edgec's own entropy coder, without the
frames around them; the encoder is what the device holds and computes, in float32. JPEG and WebP are Pillow's, and what
they compute on the device is not counted. Some 200 bytes of a JPEG of this size are its headers.

Both kinds of bottleneck are trained alike, by `insert-bottleneck`, on {trained:,} of the 60,000 training pictures: the
new layers alone for as many epochs as the table says, then all behind the encoder for one. Those that are "tuned" learn
with their encoder for two instead. The table has the accuracy on {validation:,} other training pictures too, which is
higher, as the network that teaches has seen them.
"""
PHOTOGRAPHS = """## Photographs

EfficientNet-Lite0, 224×224 colours, {weights:.1f} MB and {macs:.0f} million multiply-accumulates. Nobody has named what
the photographs show: what is counted is **agreement**, how often the first of 1,000 classes is the one that the whole
network finds in the uncompressed picture. {tested_squares:,} squares, cut from {tested_photographs} photographs, are
tested on; the bottlenecks are trained, without labels, on {trained_squares:,} squares cut from {trained_photographs}
other photographs (`benchmarks/split_photographs.py`: those of a Debian and a Python package, most of them kept as WebP
there). One seed, float32.

The layers up to the end of the first block of the third stage stay on the device, a quarter of the work, and the
bottleneck stands behind them (`keep_layers`): one convolution there and one back, trained for as many epochs as the
table says to make the features again. All other layers stay as they are (`epochs = 0`), as there are too few
photographs to train any of them.
"""
SPEED = """## Speed

`benchmarks/split_coder.py`: megabytes of symbols (bytes of the latent) a second on one core, the best of many rounds,
for latents with {groups} tables. Others kept {busy:.0%} of the machine's cores busy meanwhile.

{table}

`benchmarks/split_link.py --requests 0 --loads {runs}`: a server whose tail takes {tail_ms:.0f} ms answers
{clients} clients at once at {share:.0%} of the rate of the bare tail (the median of {runs} runs: {shares})."""
LINKS = """## Links that fail

`benchmarks/split_link.py --shaped`, on a quiet machine, in a network namespace whose loopback is narrowed, flooded and
taken down while a proxy delays, cuts, truncates and corrupts: of {requests:,} requests of {clients} clients {wrong} got
a wrong answer; the device answered {device:,} by itself; the longest took {longest:.0f} ms at a time-out of
{timeout:.0f} ms.

`benchmarks/split_fuzz.py`, {minutes:.0f} minutes: {frames:,} frames and payloads, {conversations:,} conversations with
the server and {clients_fuzzed:,} of the client with a server that talks nonsense. No crash, {late} clients later than
their time-out; at most {most:,} bytes at once for a message, {above} times more than the declared limit."""
EXITS = """Networks of 28×28 grey levels (`examples/fashion_mnist/train.py`, seed 0) with two exits, trained on 6,000
pictures for four epochs while the network stays as it is. An answer is taken from which its calibrated confidence is at
least the threshold."""


def way_of(name: str) -> tuple[str, float]:
    """The way of a cell and its parameter."""
    way, _, parameter = name.rpartition(" ")
    return (way, float(parameter)) if way else (name, 0.0)


def table(cells: dict[str, Cell]) -> str:
    validated = any("validation_accuracy" in cell for cell in cells.values())
    judged, more = ("accuracy | (validation)", "--:|") if validated else ("agreement", "")
    lines = [
        f"| way | parameter | epochs | bytes | {judged} | encoder, kB | encoder, million MACs |",
        f"|---|---|--:|--:|--:|{more}--:|--:|",
    ]
    for way, said in WAYS.items():
        mine = sorted((way_of(name)[1], cell) for name, cell in cells.items() if way_of(name)[0] == way)
        for parameter, cell in mine:
            sent = f"{float(cell['bytes']):.0f}"
            if way.startswith("CR+BQ"):
                sent += f" ({float(cell['entropy_coded_bytes']):.0f} entropy-coded)"
            held, work = float(cell["encoder_bytes"]) / 1e3, float(cell["encoder_macs"]) / 1e6
            cost = f"{held:.1f} | {work:.2f}" if held else "– | –"
            chosen_by = cell.get("validation_accuracy")
            validation = f" {float(chosen_by):.2%} |" if chosen_by is not None else " – |"
            head = f"| {said} | {PARAMETERS.get(way, 'quality')} {parameter:g} | {cell.get('epochs', '–')} | {sent}"
            lines.append(f"{head} | {float(cell['accuracy']):.2%} |{validation if validated else ''} {cost} |")
    return "\n".join(lines)


def bytes_at(cells: dict[str, Cell], ways: Collection[str], accuracy: float) -> float:
    """Fewest bytes at which some ways together reach an accuracy, between neighbouring points; infinite if they do not.

    Points that send more than another and find less are left out.
    """
    mine = [(float(c["bytes"]), float(c["accuracy"])) for name, c in cells.items() if way_of(name)[0] in ways]
    before, lower = 0.0, math.inf
    for size, right in sorted(mine):
        if right >= accuracy:
            if lower > accuracy:
                return size
            share = (accuracy - lower) / (right - lower)
            return math.exp(math.log(before) + share * (math.log(size) - math.log(before)))
        if before == 0.0 or right > lower:
            before, lower = size, right
    return math.inf


def findings(cells: dict[str, Cell], whole: Cell, goal: float, said_of_goal: str) -> str:
    """What the points say: the learnt symbols against the int8 channels, and the int8 channels against pictures.

    Args:
        cells: of one study.
        whole: the network.
        goal: the accuracy at which bytes are compared.
        said_of_goal: what it is.
    """
    lines = []
    for name, cell in sorted(cells.items(), key=lambda item: float(item[1]["bytes"])):
        way, channels = way_of(name)
        if not way.startswith("CR+BQ"):
            continue
        right, sent = float(cell["accuracy"]), float(cell["bytes"])
        # Those trained no longer than the rival.
        needed = bytes_at(cells, {"entropic", way.replace("CR+BQ", "entropic")}, right)
        said = f"{1 - needed / sent:.0%} fewer" if needed < math.inf else "not reached"
        rival = f"{channels:g} {WAYS[way]} ({right:.2%}, {sent:.0f} bytes)"
        lines.append(f"- Learnt symbols, trained no longer, at the accuracy of {rival}: {said}.")
    sizes = {way: bytes_at(cells, (way,), goal) for way in WAYS}
    known = {way_of(name)[0] for name in cells}
    listed = ", ".join(f"{said} {_size(sizes[way])}" for way, said in WAYS.items() if way in known)
    lines.append(f"- {said_of_goal}, along the points: {listed} bytes.")
    lines.append(_against_jpeg(cells, goal, sizes["JPEG"]))
    encoder = max(
        float(cell["encoder_bytes"]) for name, cell in cells.items() if name.startswith(("CR+BQ", "entropic"))
    )
    lines.append(
        f"- The largest of the encoders is {float(whole['weight_bytes']) / encoder:.0f} times smaller than the network."
    )
    return "\n".join(lines)


def _against_jpeg(cells: dict[str, Cell], goal: float, smallest: float) -> str:
    """The fewest int8 channels that keep the accuracy, against the picture offloaded as JPEG."""
    fitting = [c for name, c in cells.items() if name.startswith("CR+BQ") and float(c["accuracy"]) >= goal]
    if not fitting:
        return "- No number of int8 channels keeps that."
    best = min(fitting, key=lambda cell: float(cell["bytes"]))
    sent, lost = float(best["bytes"]), float(cells["uncompressed"]["accuracy"]) - float(best["accuracy"])
    said = f"- The fewest int8 channels that keep it send {sent:.0f} bytes and lose {100 * lost:.2f} points"
    usual, least = (_compared(sent, size) for size in (float(cells[USUAL]["bytes"]), smallest))
    return f"{said}: {usual} JPEG at its usual quality, 75, and {least} the smallest JPEG that does."


def _compared(sent: float, other: float) -> str:
    return f"{1 - sent / other:.0%} below" if sent < other else f"{sent / other - 1:.0%} above"


def study_section(cells: dict[str, Cell], introduction: str, plot: str, goal: float, said_of_goal: str) -> list[str]:
    """Text, plot, findings and points of one study; the plot is written.

    Args:
        cells: of the study, its network and recipe among them.
        introduction: with the names of what the network and the recipe have.
        plot: name of its file.
        goal: see `findings`.
        said_of_goal: see `findings`.
    """
    whole, recipe = cells["network"], cells["recipe"]
    ways = {name: cell for name, cell in cells.items() if name not in ("network", "recipe")}
    points = {
        said: Points(
            tuple((float(c["bytes"]), 100 * float(c["accuracy"])) for n, c in ways.items() if way_of(n)[0] == way)
        )
        for way, said in WAYS.items()
    }
    shown = {said: mine for said, mine in points.items() if mine.pairs}
    judged = "Accuracy" if "validation" in recipe else "Agreement"
    (PLOTS / plot).write_text(scatter_plot(f"{judged} (%) against bytes a picture", shown), encoding="utf-8")
    text = introduction.format(
        weights=float(whole["weight_bytes"]) / 1e6,
        macs=float(whole["macs"]) / 1e6,
        accuracy=float(ways["uncompressed"]["accuracy"]),
        **recipe,
    )
    picture = f"![{judged} against bytes](../images/{plot})"
    return [text, picture, "### Findings", findings(ways, whole, goal, said_of_goal), "### All points", table(ways)]


def speed_section(results: Path) -> str:
    """How fast the coder and the server are."""
    coder = json.loads((results / "split-coder.json").read_text(encoding="utf-8"))
    runs = json.loads((results / "split-load.json").read_text(encoding="utf-8"))["load"]
    shares = sorted(float(run["share"]) for run in runs)
    kinds = ("encode, Python", "decode, Python", "encode, C", "decode, C")
    lines = [f"| latent | {' | '.join(kinds)} |", f"|---|{'--:|' * len(kinds)}"]
    for name, cell in sorted(coder["cells"].items(), key=lambda item: float(item[1]["symbols"])):
        lines.append(f"| {name} | {' | '.join(str(cell[kind]) for kind in kinds)} |")
    return SPEED.format(
        groups=GROUPS,
        busy=coder["machine"]["busy_share"],
        table="\n".join(lines),
        tail_ms=runs[0]["tail_ms"],
        clients=runs[0]["clients"],
        share=statistics.median(shares),
        runs=len(runs),
        shares=", ".join(f"{share:.0%}" for share in shares),
    )


def links_section(results: Path) -> str:
    """Requests over links that fail, and frames that nobody meant."""
    faults = json.loads((results / "split-link.json").read_text(encoding="utf-8"))["faults"]
    fuzz = json.loads((results / "split-fuzz.json").read_text(encoding="utf-8"))
    frames = sum(count for key, count in fuzz.items() if key.startswith(("frame", "payload")))
    return LINKS.format(
        **{key: faults[key] for key in ("requests", "clients", "wrong", "device")},
        timeout=faults["timeout_ms"],
        longest=faults["longest_ms"],
        minutes=fuzz["seconds"] / 60,
        frames=frames,
        conversations=fuzz["conversations with the server"],
        clients_fuzzed=fuzz["client: LinkError"],
        most=fuzz["most_bytes_at_once"],
        above=fuzz["above_the_limit"],
        late=fuzz.get("client: later than its time-out", 0),
    )


def exits_section(results: dict[str, Cell]) -> str:
    """What the report of `insert-exits` says of each network."""
    parts = ["## Early answers", EXITS]
    for name, cell in sorted(results.items()):
        rows = [f"| {key} | {value} |" for key, value in sorted(cell.items(), key=_exits_order) if "threshold" in key]
        alone = [f"- {key}: {value}" for key, value in sorted(cell.items()) if "whole" in key or "alone" in key]
        errors = [f"- {key}: {value}" for key, value in sorted(cell.items()) if "calibration" in key]
        parts += [
            f"### {name}",
            "\n".join(alone + errors),
            "| | of 5,000 test pictures |\n|---|---|\n" + "\n".join(rows),
        ]
    return "\n\n".join(parts)


def _exits_order(item: tuple[str, object]) -> float:
    return float(item[0].rpartition(" ")[2]) if "threshold" in item[0] else 0.0


def _size(number: float) -> str:
    return f"{number:.0f}" if number < math.inf else "(none)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder")
    folder: Path = parser.parse_args().results
    clothes, photographs = (Results(folder / f"split-{name}.json").cells for name in ("rates", "photographs"))
    goal = float(clothes["uncompressed"]["accuracy"]) - LOSS
    said = f"Within {100 * LOSS:.1f} points of the whole network"
    parts = study_section(clothes, INTRODUCTION, "split-rates.svg", goal, said)
    goal, said = float(photographs[USUAL]["accuracy"]), f"As much agreement as {USUAL}"
    parts += study_section(photographs, PHOTOGRAPHS, "split-rates-photographs.svg", goal, said)
    parts += [speed_section(folder), links_section(folder), exits_section(Results(folder / "split-exits.json").cells)]
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
