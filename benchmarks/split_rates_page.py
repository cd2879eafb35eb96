"""Write docs/reference/split-computing.md and its plots from what the benchmarks of split computing found.

Usage: python benchmarks/split_rates_page.py [--results benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass
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
{macs:.1f} million multiply-accumulates, all 10,000 test pictures; figures are means over bottlenecks trained with
{repeats} seeds. The whole network on the server, given the uncompressed picture, finds {accuracy:.2%}. Bytes are those
of whole files and of edgec's own entropy coder, without the frames around them; the encoder is what the device holds
and computes, in float32. JPEG and WebP are Pillow's, and what they compute on the device is not counted. Some 200 bytes
of a JPEG of this size are its headers.

Both kinds of bottleneck are trained alike, by `insert-bottleneck`, on {trained:,.0f} of the 60,000 training pictures:
the new layers alone for as many epochs as the table says, then all behind the encoder for one. Those that are "tuned"
learn with their encoder for two instead. The table has the accuracy on {validation:,.0f} other training pictures too,
which is higher, as the network that teaches has seen them.
"""
PHOTOGRAPHS = """## Photographs of five kinds

EfficientNet-Lite0 with a last layer that tells an animal, a source of energy, a fish, a monument and a tool apart:
{weights:.1f} MB and {macs:.0f} million multiply-accumulates for 224×224 colours. What a photograph shows is what the
folder says in which a Debian package keeps it (`benchmarks/split_photographs.py`; most are kept as WebP there). The
photographs are in three parts. For each part, last layer and bottlenecks are trained on some
{trained_squares:,.0f} squares cut from the other parts, and tested on some {tested_squares:,.0f} squares of its own;
figures are means over {repeats} of the parts. The whole network, given the uncompressed squares, finds {accuracy:.2%}.
The settings of the training were chosen by what they did on the part that is left, which is not among the figures. A
part has some {tested_photographs:.0f} photographs, so that a single one that is taken for something else counts more
than a point.

The layers up to the end of the first block of the third stage stay on the device, {kept:.0%} of the work, and the
bottleneck stands behind them (`keep_layers`): one convolution of stride 2 there, and one back, trained to make the
features again and to have the frozen layers behind them make theirs (`matched`), for as many epochs as the table says.
Bottlenecks see no labels.
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
{timeout:.0f} ms, and {undisturbed:.0f} ms without the moments in which the machine let the whole process stand still.

`benchmarks/split_fuzz.py`, {minutes:.0f} minutes: {frames:,} frames and payloads, {conversations:,} conversations with
the server and {clients_fuzzed:,} of the client with a server that talks nonsense. No crash, {late} clients later than
their time-out; at most {most:,} bytes at once for a message, {above} times more than the declared limit."""
EXITS = """Networks of 28×28 grey levels (`examples/fashion_mnist/train.py`, seed 0) with two exits, trained on 6,000
pictures for four epochs while the network stays as it is. An answer is taken from which its calibrated confidence is at
least the threshold."""


@dataclass(frozen=True)
class Study:
    """What the repeats of a study found, with other seeds or other photographs.

    Attributes:
        repeats: the ways to have a picture classified, by their names, of each repeat.
        mean: of the repeats, for each way.
        network: its size.
        recipe: numbers of pictures.
    """

    repeats: tuple[dict[str, Cell], ...]
    mean: dict[str, Cell]
    network: Cell
    recipe: Cell

    @classmethod
    def read(cls, folder: Path, name: str) -> Study:
        """What is kept of a study; every repeat must have the same ways."""
        repeats = [Results(file).cells for file in sorted(folder.glob(f"{name}-[0-9].json"))]
        if not repeats or any(set(cells) != set(repeats[0]) for cells in repeats):
            raise SystemExit(f"{folder}: the repeats of {name} are not there, or not finished")
        recipes, networks = ([cells.pop(key) for cells in repeats] for key in ("recipe", "network"))
        recipe = {key: sum(recipe[key] for recipe in recipes) / len(recipes) for key in recipes[0]}
        mean = {
            name: {key: statistics.fmean(float(cells[name][key]) for cells in repeats) for key in repeats[0][name]}
            for name in repeats[0]
        }
        return cls(tuple(repeats), mean, networks[0], recipe)


def way_of(name: str) -> tuple[str, float]:
    """The way of a cell and its parameter."""
    way, _, parameter = name.rpartition(" ")
    return (way, float(parameter)) if way else (name, 0.0)


def table(study: Study) -> str:
    """Every way of a study, the mean of its repeats, and the least and greatest accuracy of them."""
    validated = any("validation_accuracy" in cell for cell in study.mean.values())
    lines = [
        f"| way | parameter | epochs | bytes | accuracy{' | (validation)' if validated else ''} | encoder, kB "
        "| encoder, million MACs |",
        f"|---|---|--:|--:|--:|{'--:|' if validated else ''}--:|--:|",
    ]
    for way, said in WAYS.items():
        mine = sorted((way_of(name)[1], name) for name in study.mean if way_of(name)[0] == way)
        for parameter, name in mine:
            cell = study.mean[name]
            sent = f"{cell['bytes']:.0f}"
            if way.startswith("CR+BQ"):
                sent += f" ({cell['entropy_coded_bytes']:.0f} entropy-coded)"
            held, work = float(cell["encoder_bytes"]) / 1e3, float(cell["encoder_macs"]) / 1e6
            cost = f"{held:.1f} | {work:.2f}" if held else "– | –"
            chosen_by = cell.get("validation_accuracy")
            validation = (f" {chosen_by:.2%} |" if chosen_by is not None else " – |") if validated else ""
            epochs = f"{cell['epochs']:.0f}" if "epochs" in cell else "–"
            head = f"| {said} | {PARAMETERS.get(way, 'quality')} {parameter:g} | {epochs} | {sent}"
            lines.append(f"{head} | {cell['accuracy']:.2%}{_spread(study, name)} |{validation} {cost} |")
    return "\n".join(lines)


def _spread(study: Study, name: str) -> str:
    found = sorted(float(cells[name]["accuracy"]) for cells in study.repeats)
    return f" ({100 * found[0]:.1f} to {100 * found[-1]:.1f})" if found[0] < found[-1] else ""


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


def findings(study: Study) -> str:
    """What the points say: learnt symbols against int8 channels, and int8 channels against pictures."""
    cells, wanted = study.mean, float(study.mean["uncompressed"]["accuracy"]) - LOSS
    rivals = sorted((float(cell["bytes"]), name) for name, cell in cells.items() if name.startswith("CR+BQ"))
    lines = [_against_channels(study, name) for _, name in rivals]
    sizes = {way: bytes_at(cells, (way,), wanted) for way in WAYS}
    known = {way_of(name)[0] for name in cells}
    listed = ", ".join(f"{said} {_size(sizes[way])}" for way, said in WAYS.items() if way in known)
    lines.append(f"- Within {100 * LOSS:.1f} points of the whole network, along the points: {listed} bytes.")
    lines += [_against_jpeg(study, kind, wanted, sizes["JPEG"]) for kind in ("CR+BQ", "entropic")]
    lines.append(f"- {USUAL}, Pillow's usual quality, loses {_lost(cells, USUAL)} points.")
    trained = [cell for name, cell in cells.items() if name.startswith(("CR+BQ", "entropic"))]
    smaller = float(study.network["weight_bytes"]) / max(float(cell["encoder_bytes"]) for cell in trained)
    lines.append(f"- The largest of the encoders is {smaller:.0f} times smaller than the network.")
    return "\n".join(lines)


def _against_channels(study: Study, rival: str) -> str:
    """How many bytes fewer learnt symbols, trained no longer, need for the accuracy of some int8 channels."""
    (way, channels), cell = way_of(rival), study.mean[rival]
    shares = [_saved(cells, rival) for cells in (study.mean, *study.repeats)]
    together, *each = (f"{share:.0%} fewer" if share > -math.inf else "not reached" for share in shares)
    named = f"{channels:g} {WAYS[way]} ({cell['accuracy']:.2%}, {cell['bytes']:.0f} bytes)"
    said = f"{together} (the repeats by themselves: {', '.join(each)})"
    return f"- Learnt symbols, trained no longer, at the accuracy of {named}: {said}."


def _saved(cells: dict[str, Cell], rival: str) -> float:
    """The share of the bytes of some int8 channels that learnt symbols save; minus infinity where they miss it."""
    way, cell = way_of(rival)[0], cells[rival]
    needed = bytes_at(cells, {"entropic", way.replace("CR+BQ", "entropic")}, float(cell["accuracy"]))
    return 1 - needed / float(cell["bytes"])


def _against_jpeg(study: Study, kind: str, goal: float, smallest: float) -> str:
    """The smallest bottleneck of a kind that keeps the accuracy, or every one, against the picture as JPEG."""
    cells = study.mean
    mine = sorted((float(cell["bytes"]), name) for name, cell in cells.items() if name.startswith(kind))
    fitting = [(sent, name) for sent, name in mine if float(cells[name]["accuracy"]) >= goal]
    if not fitting:
        return f"- No {WAYS[kind]} keep that: {'; '.join(_cost(study, name) for _, name in mine)}."
    sent, name = fitting[0]
    said = f"- The fewest {WAYS[kind]} that keep that: {_cost(study, name)}"
    return f"{said}, {_compared(sent, smallest)} the smallest JPEG that does."


def _cost(study: Study, name: str) -> str:
    sent, usual = (float(study.mean[cell]["bytes"]) for cell in (name, USUAL))
    each = ", ".join(_lost(repeat, name) for repeat in study.repeats)
    return f"{sent:.0f} bytes ({_compared(sent, usual)} {USUAL}), {_lost(study.mean, name)} points lost ({each})"


def _lost(cells: dict[str, Cell], name: str) -> str:
    return f"{100 * (float(cells['uncompressed']['accuracy']) - float(cells[name]['accuracy'])):.2f}"


def _compared(sent: float, other: float) -> str:
    return f"{1 - sent / other:.0%} below" if sent < other else f"{sent / other - 1:.0%} above"


def study_section(study: Study, introduction: str, plot: str) -> list[str]:
    """Text, plot, findings and points of one study; the plot is written.

    Args:
        study: its results.
        introduction: with the names of what the network and the recipe have.
        plot: name of its file.
    """
    points = {
        said: Points(
            tuple((float(c["bytes"]), 100 * float(c["accuracy"])) for n, c in study.mean.items() if way_of(n)[0] == way)
        )
        for way, said in WAYS.items()
    }
    shown = {said: mine for said, mine in points.items() if mine.pairs}
    (PLOTS / plot).write_text(scatter_plot("Accuracy (%) against bytes a picture", shown), encoding="utf-8")
    text = introduction.format(
        weights=float(study.network["weight_bytes"]) / 1e6,
        macs=float(study.network["macs"]) / 1e6,
        accuracy=float(study.mean["uncompressed"]["accuracy"]),
        repeats=len(study.repeats),
        kept=float(study.mean["feature JPEG 95"]["encoder_macs"]) / float(study.network["macs"]),
        **study.recipe,
    )
    picture = f"![Accuracy against bytes](../images/{plot})"
    return [text, picture, "### Findings", findings(study), "### All points", table(study)]


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
        undisturbed=faults["longest_without_pauses_ms"],
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
    clothes, photographs = (Study.read(folder, f"split-{name}") for name in ("rates", "photographs"))
    parts = study_section(clothes, INTRODUCTION, "split-rates.svg")
    parts += study_section(photographs, PHOTOGRAPHS, "split-rates-photographs.svg")
    parts += [speed_section(folder), links_section(folder), exits_section(Results(folder / "split-exits.json").cells)]
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
