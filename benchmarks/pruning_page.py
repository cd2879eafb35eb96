"""Write docs/reference/pruning.md from the results of the benchmarks of pruning.

Usage: python benchmarks/pruning_page.py [--results benchmarks/results]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pruning_fine_tuned
import pruning_photographs
import pruning_upscale
from pruning_cells import Results

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "pruning.md"
INTRODUCTION = """# What pruning costs and gains

Made by `benchmarks/pruning_page.py` from the results of `benchmarks/pruning_upscale.py`, `pruning_fine_tuned.py` and
`pruning_photographs.py`. Latencies are medians on one thread of the machine that is named in `benchmarks/results/`.
The networks are those of `examples/fashion_mnist/`; what a network is called there is its kind, not its size.
Gains at equal latency are interpolated between shares: where constrained pruning hardly makes a network faster, as at
odd widths, they come out larger than they are. One seed proves nothing.
"""
SECTIONS: tuple[tuple[str, str, str, Callable[[Results], str]], ...] = (
    (
        "Every layer its own channels, without training",
        "pruning-upscale.json",
        "UPSCALE's experiment. `constrained` removes a channel for all that read it. `gather`, `slice` and `view` let "
        "every layer read its own, which are copied, put into an order in which many are contiguous, or all read as "
        "contiguous ranges. edgec reads ranges in place; ONNX Runtime copies them.",
        pruning_upscale.tables,
    ),
    (
        "Half of the multiply-accumulates, then training",
        "pruning-fine-tuned.json",
        "Latency is relative to the network as it was, in edgec's artefact and in ONNX Runtime.",
        pruning_fine_tuned.tables,
    ),
    (
        "Real networks on photographs, without training",
        "pruning-photographs.json",
        "How often the first class is still that of the original. Networks with depthwise convolutions lose nearly "
        "everything: train them further.",
        pruning_photographs.tables,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    parts = [INTRODUCTION]
    for title, name, text, tables in SECTIONS:
        if (options.results / name).exists():
            parts.append(f"## {title}\n\n{text}\n\n{tables(Results(options.results / name))}\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
