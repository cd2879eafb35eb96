"""The output of `edgec analyze --split`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgec.cli import terminal
from edgec.cli.progress import watched

if TYPE_CHECKING:
    from edgec.split_analysis import CutCost, SplitAnalysis


def show(
    model: Path,
    device: str,
    server: str,
    links: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    quiet: bool,
    json: bool,
) -> None:
    """Analyse the cuts of a model and write the table; every named link where none is given."""
    from edgec.split.link import NAMED_LINKS, parse_link
    from edgec.split_analysis import analyze_split

    chosen = [parse_link(text) for text in links or NAMED_LINKS]
    with watched(quiet=quiet) as progress:
        analysis = analyze_split(model, device, server, chosen, shapes, progress)
    if json:
        terminal.write_json(analysis.model_dump(mode="json"))
    else:
        _write(analysis)


def _write(analysis: SplitAnalysis) -> None:
    terminal.write(f"head on {analysis.device}, tail on {analysis.server}; times are predicted\n")
    links = list(analysis.best)
    heads = ("CUT", "SENDS", "HEAD MACS", "HEAD MS", "TAIL MS", *(f"{name} MS".upper() for name in links))
    rows = [_row(analysis.cuts[number], number, analysis) for number in _worth_a_look(analysis)]
    terminal.write_table(heads, rows)
    left = len(analysis.cuts) - len(rows)
    terminal.write("\n* the least total time over the link")
    if left:
        terminal.write(f"{left} cuts that send no less than an earlier one are left out; --json has them")


def _worth_a_look(analysis: SplitAnalysis) -> list[int]:
    """Cuts that send less than every earlier one, which do more of the work, and the ends."""
    chosen, least = [], float("inf")
    for number, cut in enumerate(analysis.cuts):
        if cut.payload_bytes < least:
            chosen.append(number)
            least = cut.payload_bytes
    return chosen


def _row(cut: CutCost, number: int, analysis: SplitAnalysis) -> tuple[str, ...]:
    name = ", ".join(map(terminal.printable, cut.values)) or "all on the device"
    totals = (f"{cut.total_ms(link):.1f}{'*' if number == best else ''}" for link, best in analysis.best.items())
    sizes = (f"{cut.payload_bytes:,}", f"{cut.head_macs:,}")
    return (name, *sizes, f"{cut.head_ms:.2f}", f"{cut.tail_ms:.2f}", *totals)
