"""Writes docs/reference/binary-kernels.md of what `binary_kernels.py`, `binary_larq.py` and `binary_counts.py` found.

python benchmarks/binary_kernels_page.py
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "binary-kernels.md"
Times = dict[str, dict[str, float]]


def main() -> None:
    own, larq, counts = (
        json.loads((RESULTS / f"binary-{name}.json").read_text(encoding="utf-8"))
        for name in ("kernels", "larq", "counts")
    )
    PAGE.write_text(page(own, larq, counts), encoding="utf-8")


def page(own: dict[str, dict[str, object]], larq: dict[str, object], counts: dict[str, Times]) -> str:
    warnings = {machine["warning"] for machine in (own["machine"], larq["machine"]) if machine["warning"]}
    return "\n".join(
        [
            "# Kernels of signs",
            "",
            "The convolution 256 → 256, 3×3, 14×14, on one thread: of signs, of eight-bit integers, of floats. The",
            "rest is what packs the signs of the input, and changes of layout.",
            "",
            "## Time",
            "",
            f"On {own['machine']['processor']}; medians, by `benchmarks/binary_kernels.py` and"
            " `benchmarks/binary_larq.py`.",
            *(f"A warning: {warning}." for warning in sorted(warnings)),
            "",
            "| | kernel, µs | rest, µs | kernel / binary |",
            "|---|--:|--:|--:|",
            *times(own["layers"]),
            "",
            f"Larq Compute Engine {larq['larq_compute_engine']} takes {larq['whole_us']:,.0f} µs for the whole layer,"
            " called through Python.",
            "Its optimised kernels are for Arm; on x86 this is what a user gets.",
            "",
            "## Instructions on Arm",
            "",
            "In millions, from an emulator, by `benchmarks/binary_counts.py`. An instruction is no unit of time.",
            "",
            "| target | | kernel | rest |",
            "|---|---|--:|--:|",
            *(
                f"| {target} | {kind} | {count['kernel'] / 1e6:.1f} | {count['rest'] / 1e6:.1f} |"
                for target, kinds in counts.items()
                for kind, count in kinds.items()
            ),
            "",
        ]
    )


def times(layers: Times) -> list[str]:
    """A row for each kind."""
    fastest = layers["binary"]["kernel_us"]
    return [
        f"| {kind} | {row['kernel_us']:.0f} | {row['rest_us']:.0f} | {row['kernel_us'] / fastest:.1f} |"
        for kind, row in layers.items()
    ]


if __name__ == "__main__":
    main()
