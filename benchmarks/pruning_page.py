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
Nothing is interpolated: what a budget of latency buys is the most accurate of the networks that were measured to be no
slower, the one as it was among them; where a kind of pruning has none, the two are `not comparable`.
"""
SECTIONS: tuple[tuple[str, str, str, Callable[[Results], str]], ...] = (
    (
        "Every layer its own channels, without training",
        "pruning-upscale.json",
        "UPSCALE's experiment. `constrained` removes a channel for all that read it. `gather`, `slice` and `view` let "
        "every layer read its own, which are copied, put into an order in which many are contiguous, or all read as "
        "contiguous ranges. edgec reads ranges in place; ONNX Runtime copies them. Shares are removed everywhere "
        "alike, by L2, and nothing is rounded to vectors, as in the paper. On the residual network unconstrained "
        "pruning leads, as in the paper, most where little is removed. On the densely connected one it does not: for "
        "the same share it removes less work, and its layers read concatenations, of which nearly all is copied. "
        "Where removed channels are made up for, constrained pruning keeps its accuracy, too, and what is left of the "
        "lead is at half of the channels. Odd widths cost time: most pruned networks with depthwise layers are slower "
        "than the one as it was.",
        pruning_upscale.tables,
    ),
    (
        "Half of the multiply-accumulates, then training",
        "pruning-fine-tuned.json",
        "Latency is relative to the network as it was, in edgec's artefact and in ONNX Runtime. `edgec by weights` was "
        "pruned by L2 in one step, with readers made up for but layers not yet fitted one after another; it and "
        "Torch-Pruning's were trained alike, from labels. `edgec distilled` is what the pass does by itself, in three "
        "steps, trained from labels and the network before pruning. Drops are in points, means over the seeds listed.",
        pruning_fine_tuned.tables,
    ),
    (
        "Real networks on photographs, without training",
        "pruning-photographs.json",
        "How often the first class of 1,000 is still that of the original, on 240 cuts of photographs other than those "
        "that the 48 samples were cut from. `constrained` is what the pass does by itself: it judges by samples what "
        "every layer can spare, and takes little from the narrow ends of inverted bottlenecks, which judging by "
        "weights alone does not spare. Where most answers change, further training is needed.",
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
