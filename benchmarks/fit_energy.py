"""Power of microcontrollers and FPGA boards from MLPerf Tiny's published energies, and how far it misses others.

    python benchmarks/fit_energy.py [--write]

`mlperf_tiny_energy.csv` holds the results of https://github.com/mlcommons/tiny_results_v0.5, _v0.7 and _v1.0 (Apache
License 2.0) that state an energy: microjoules of an inference and inferences a second while it was measured. A board is
taken to draw constant power while it infers, so that energy is power times latency. Every error is of a result that had
no part in its board's power: once of the same system (round, submitter, engine) by its other networks, and once of a
board by all the other systems that use it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "energy-model.md"
BAR = 0.25


@dataclass(frozen=True)
class Result:
    """A published energy of an inference."""

    round: str
    submitter: str
    board: str
    engine: str
    task: str
    network: str
    energy_uj: float
    inferences_per_s: float

    @property
    def milliwatts(self) -> float:
        """Mean power."""
        return self.energy_uj * self.inferences_per_s / 1e3


def read() -> list[Result]:
    """Every published energy."""
    with (FOLDER / "mlperf_tiny_energy.csv").open() as file:
        return [
            Result(
                **{name: row[name] for name in ("round", "submitter", "board", "engine", "task", "network")},
                energy_uj=float(row["energy_uj"]),
                inferences_per_s=float(row["inferences_per_s"]),
            )
            for row in csv.DictReader(file)
        ]


def power_mw(results: list[Result]) -> float:
    """Geometric mean of the powers."""
    return float(np.exp(np.mean([np.log(each.milliwatts) for each in results])))


def left_out(results: list[Result], group: Callable[[Result], Hashable]) -> dict[Result, float]:
    """Microjoules of each result by the power of the others of its group; nothing where there is no other."""
    found = {}
    for each in results:
        others = [other for other in results if group(other) == group(each) and other is not each]
        if others:
            found[each] = power_mw(others) / each.inferences_per_s * 1e3
    return found


def page(results: list[Result]) -> str:
    """The page in Markdown."""
    by_system = left_out(results, lambda each: (each.round, each.submitter, each.board, each.engine))
    by_board = left_out(results, lambda each: each.board)
    lines = ["# Energy of MLPerf Tiny's systems", "", "Written by `benchmarks/fit_energy.py`, which says how.", ""]
    for title, predicted in (("same system", by_system), ("same board", by_board)):
        errors = np.array([abs(energy / each.energy_uj - 1) for each, energy in predicted.items()])
        lines.append(
            f"By the others of the {title}: {len(errors)} energies, mean error {errors.mean():.1%}, "
            f"largest {errors.max():.1%}, within {BAR:.0%}: {np.mean(errors <= BAR):.0%}."
        )
    lines += [
        "",
        "| board | engine | round | task | uJ | mW | by the system | by the board |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        cells = [
            each.board,
            f"{each.submitter} {each.engine}".strip(),
            each.round,
            f"{each.task} {each.network}".strip(),
        ]
        cells += [f"{each.energy_uj:g}", f"{each.milliwatts:.3g}"]
        for predicted in (by_system, by_board):
            cells.append(f"{predicted[each] / each.energy_uj - 1:+.0%}" if each in predicted else "")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| board | power while inferring, mW |", "|---|---|"]
    for board in sorted({each.board for each in results}):
        lines.append(f"| {board} | {power_mw([each for each in results if each.board == board]):.3g} |")
    return "\n".join([*lines, ""])


def main() -> None:
    text = page(read())
    print(text)
    if "--write" in sys.argv[1:]:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
