"""What `edgec build --tune N` brings: time of tuned artefacts over that of untuned ones, on this machine.

    python benchmarks/tuning_gain.py --out FOLDER --budget 64 --budget 256 MODEL.onnx…

Artefacts that lie in FOLDER already are timed as they are, so that building and timing may be done apart. Processes of
all artefacts of a network alternate; a ratio is the median over rounds of a round's ratio, its range that of all.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from edgec.build import BuildOptions, build
from edgec.core.manifest import read_manifest
from edgec.core.progress import Silent
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.measure.running import run_artifact

ROUNDS = 9
SECONDS_A_PROCESS = 0.4


def artifact(model: Path, budget: int, folder: Path, threads: int) -> Path:
    """The artefact of a model with a budget of measurements, built if it is not there."""
    out = folder / f"{model.stem}-{budget}"
    if not (out / "report.json").exists():
        options = BuildOptions(
            model=model,
            target="host",
            threads=threads,
            out=out,
            tune=budget,
            tuning_database=folder / f"{model.stem}-{budget}.jsonl" if budget else None,
        )
        build(options, Silent())
    return out


def medians(folders: list[Path]) -> list[list[float]]:
    """Milliseconds of each artefact, one number a round; the artefacts of a round run one after the other."""
    interfaces = [read_manifest(folder).interface for folder in folders]
    (sample,) = sample_inputs(load_model(folders[0] / "model.onnx").model, 1, 0)
    probe = run_artifact(folders[0], interfaces[0], [sample], warmup=2, iterations=3)
    iterations = max(5, int(SECONDS_A_PROCESS * 1e9 / min(probe.iteration_ns)))
    times: list[list[float]] = [[] for _ in folders]
    for turn in range(ROUNDS):
        order = range(len(folders)) if turn % 2 else reversed(range(len(folders)))
        for index in order:
            run = run_artifact(folders[index], interfaces[index], [sample], warmup=2, iterations=iterations)
            times[index].append(statistics.median(run.iteration_ns) / 1e6)
    return times


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--budget", type=int, action="append", default=None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--build-only", action="store_true", help="leave the timing for later")
    arguments = parser.parse_args()
    budgets = arguments.budget or [64, 256]
    print("| network | untuned, ms | " + " | ".join(f"--tune {budget}" for budget in budgets) + " |")
    print("|---|---:|" + "---:|" * len(budgets))
    for model in arguments.models:
        folders = [artifact(model, budget, arguments.out, arguments.threads) for budget in (0, *budgets)]
        if arguments.build_only:
            continue
        untuned, *tuned = medians(folders)
        cells = [f"{statistics.median(untuned):.3f}"]
        for times in tuned:
            ratios = [mine / other for mine, other in zip(times, untuned, strict=True)]
            cells.append(f"{statistics.median(ratios):.3f} ({min(ratios):.3f} … {max(ratios):.3f})")
        print(f"| {model.stem} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
