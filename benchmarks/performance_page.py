"""The page of the documentation that states how fast we are, from the results of the benchmarks.

Usage: python benchmarks/performance_page.py RESULTS_FOLDER   (writes docs/reference/performance.md and its pictures)
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from dot_plot import dot_plot

TITLES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "iree": "IREE",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "litert": "LiteRT",
}
_MIB = 2**20
_DOCS = Path(__file__).parents[1] / "docs"
_INTRODUCTION = """\
<!-- Written by benchmarks/performance_page.py; do not edit. -->

# Performance

How our artefacts compare with other engines on the same machine, and with ONNX Runtime on Arm by instructions.
`make bench` repeats all of it on yours.

- Every engine computes in fp32, on the same inputs, in a process of its own. The engines take turns, so that whatever
  else the machine does falls on all of them. A time is the median over the turns, each the median of some runs; the
  brackets hold its quartiles. With several threads a pause between turns lets the threads of the last engine, which
  keep waiting for more work for a while, fall asleep.
- A ratio below 1 means that we are faster. Outputs are compared with ONNX Runtime's; an engine that computes something
  else, fails or takes too long is left out, with the reason.
- Each engine runs as it comes, with its own converter and without tuning; ours too.
- The networks are published ones and well-known architectures with seeded weights; speed does not depend on weights.
"""
_ARM = """\
## Arm, by instructions

Instructions of one inference on one thread, counted in an emulator of the target's core: our artefact against ONNX
Runtime's own aarch64 wheel. The counts are the same on every machine and in every run. They are no times: instructions
differ in cost, and an emulator knows no caches.
"""


def ratios(results: dict[str, Any]) -> str:
    """A Markdown table: our time, and our time over each engine's and over the best peer's."""
    networks = results["networks"]
    peers = [engine for engine in TITLES if any("ms" in table.get(engine, {}) for table in networks.values())]
    titles = " | ".join(f"/ {TITLES[engine]}" for engine in peers)
    lines = [f"| network | ours, ms | {titles} | / best peer |", "|---|" + "---:|" * (len(peers) + 2)]
    gathered: dict[str, list[float]] = {engine: [] for engine in (*peers, "best")}
    for network, table in networks.items():
        ours = table["edgec"]
        if "ms" not in ours:
            lines.append(f"| {network} | left out |" + " |" * (len(peers) + 1))
            continue
        shares = {engine: ours["ms"] / table[engine]["ms"] for engine in peers if "ms" in table.get(engine, {})}
        if shares:
            shares["best"] = max(shares.values())
        for engine, share in shares.items():
            gathered[engine].append(share)
        cells = " | ".join(f"{shares[engine]:.2f}" if engine in shares else "–" for engine in (*peers, "best"))
        lines.append(f"| {network} | {_ms(ours['ms'])} [{_ms(ours['ms_low'])}, {_ms(ours['ms_high'])}] | {cells} |")
    means = " | ".join(f"{_geometric_mean(each):.2f}" for each in gathered.values())
    return "\n".join([*lines, f"| **geometric mean** | | {means} |"])


def memory(results: dict[str, Any]) -> str:
    """A Markdown table: what our artefact takes by its report, and what each engine's process grew by."""
    networks = results["networks"]
    peers = [
        engine for engine in TITLES if any("resident_bytes" in table.get(engine, {}) for table in networks.values())
    ]
    titles = " | ".join(TITLES[engine] for engine in peers)
    lines = [
        f"| network | weights | arena | code | ours, sum | / ONNX Runtime | ours, resident | {titles} |",
        "|---|" + "---:|" * (6 + len(peers)),
    ]
    for network, table in networks.items():
        plan = table["edgec"].get("planned_bytes")
        if plan is None:
            continue
        parts = (plan["weights"], plan["activations"] + plan["scratch"], plan["code"])
        cells = [f"{size / _MIB:.1f}" for size in (*parts, sum(parts))]
        reference = table.get("onnxruntime", {}).get("resident_bytes")
        cells.append(f"{sum(parts) / reference:.2f}" if reference else "–")
        cells += [_mib(table.get(engine, {})) for engine in ("edgec", *peers)]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def left_out(results: dict[str, Any]) -> str:
    """Which engines have no figure for which networks, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for network, table in results["networks"].items():
        for engine, figures in table.items():
            if "unavailable" in figures:
                title = TITLES.get(engine, "edgec")
                reasons.setdefault((title, " ".join(figures["unavailable"].split())), []).append(network)
    return "\n".join(
        f"- {engine} on {', '.join(networks)}: {_literal(reason)}" for (engine, reason), networks in reasons.items()
    )


def picture(results: dict[str, Any]) -> str:
    """The plot of one number of threads, as SVG."""
    rows = {
        network: {
            TITLES[engine]: table[engine]["ms"] / table["edgec"]["ms"]
            for engine in TITLES
            if "ms" in table.get(engine, {})
        }
        for network, table in results["networks"].items()
        if "ms" in table["edgec"]
    }
    return dot_plot(f"Time of one inference, {threads(results)}", rows, list(TITLES.values()))


def arm(results: list[dict[str, Any]]) -> str:
    """A Markdown table of instructions, ours over ONNX Runtime's."""
    lines = ["| network | target | ours, millions | ONNX Runtime, millions | ratio |", "|---|---|---:|---:|---:|"]
    for result in results:
        for network, counts in result["networks"].items():
            pair = f"{counts['ours'] / 1e6:.1f} | {counts['onnxruntime'] / 1e6:.1f}"
            lines.append(f"| {network} | {result['target']} | {pair} | {counts['ratio']:.2f} |")
        mean = _geometric_mean([counts["ratio"] for counts in result["networks"].values()])
        lines.append(f"| **geometric mean** | {result['target']} | | | {mean:.2f} |")
    return "\n".join(lines)


def page(peers: list[dict[str, Any]], counts: list[dict[str, Any]]) -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for results in peers:
        seen = results["machine"]
        engines = ", ".join(f"{TITLES.get(name, name)} {version}" for name, version in results["engines"].items())
        parts.append(f"## {threads(results).capitalize()}\n")
        parts.append(f"{seen['processor']}, {seen['cores']} cores, {seen['system']}. {engines}.\n")
        if seen["warning"]:
            parts.append(f"> **Note:** {seen['warning']}.\n")
        parts.append(f"![Times relative to ours](../images/peers-{results['threads']}.svg)\n")
        parts.append(ratios(results) + "\n")
        if left_out(results):
            parts.append(f"Left out:\n\n{left_out(results)}\n")
    if peers:
        parts.append("## Memory, MiB, one thread\n")
        parts.append(
            "Ours is known before it runs: weights, arena and code. `resident` is what the process grew by, from\n"
            "before the engine was loaded to after its first inference; some engines leave traces of their converter.\n"
        )
        parts.append(memory(peers[0]) + "\n")
    if counts:
        parts.append(f"{_ARM}\n{arm(counts)}\n")
    return "\n".join(parts)


def write(folder: Path) -> list[Path]:
    """Render the results of a folder into the documentation; returns what was written."""
    peers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("peers-*.json"))]
    counts = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("arm-*.json"))]
    written = [_DOCS / "reference/performance.md"]
    written[0].write_text(page(peers, counts), encoding="utf-8")
    for results in peers:
        written.append(_DOCS / f"images/peers-{results['threads']}.svg")
        written[-1].write_text(picture(results), encoding="utf-8")
    return written


def _mib(figures: dict[str, Any]) -> str:
    return f"{figures['resident_bytes'] / _MIB:.1f}" if "resident_bytes" in figures else "–"


def _ms(milliseconds: float) -> str:
    """Three digits that count."""
    return f"{milliseconds:.{max(0, 2 - math.floor(math.log10(milliseconds)))}f}"


def threads(results: dict[str, Any]) -> str:
    """How many threads the results were measured with, in words."""
    return "one thread" if results["threads"] == 1 else f"{results['threads']} threads"


def _literal(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
