"""Builds networks for graphics processors, and says what came of it: launches, sizes, errors.

    python benchmarks/graphics_builds.py MODEL.onnx … [--targets jetson-nano,opencl-generic] [--docs]

CUDA kernels are compiled by NVRTC for the target's architecture; OpenCL's run on this machine's driver, and outputs are
compared with ONNX Runtime. Every network is built by `edgec build`, one after the other, in a process of its own. What
was found is added to `results/graphics-builds.json`; `--docs` writes the page of the documentation from that file. Open
extents of inputs are those in `shapes.toml`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import onnx
from engines import shapes_only
from pydantic import BaseModel, ConfigDict

from edgec.core.metric import Value
from edgec.report.schema import Report, Verified

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "graphics-builds.json"
PAGE = HERE.parent / "docs" / "reference" / "graphics-processors.md"
TARGETS = ("jetson-nano", "opencl-generic")
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
LONGEST_BUILD_SECONDS = 900


class Built(BaseModel):
    """What came of one network for one target.

    Attributes:
        network: the model's name.
        target: what it was built for.
        products: convolutions and products of matrices in the network, as it was built, in branches too.
        launches: kernel launches of an inference.
        on_processor: nodes that the processor computes between launches.
        single_threads: nodes whose kernel runs on one thread.
        machine_code: whether every kernel is in the artefact's machine code; None where the device's driver compiles.
        beyond_weights_bytes: the artefact's size less that of the weights.
        max_relative_error: of the outputs' range, against ONNX Runtime; None where nothing here runs the artefact.
        failed: the error, if there is no artefact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    target: str
    products: int = 0
    launches: int = 0
    on_processor: tuple[str, ...] = ()
    single_threads: tuple[str, ...] = ()
    machine_code: bool | None = None
    beyond_weights_bytes: int = 0
    max_relative_error: float | None = None
    failed: str = ""


class Results(BaseModel):
    """The content of the file of results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    builds: tuple[Built, ...] = ()


def build(model: Path, target: str, shapes: list[str]) -> Built:
    """Build one network for one target."""
    with tempfile.TemporaryDirectory(prefix="graphics-builds-") as name:
        folder = Path(name) / "artifact"
        options = [option for shape in shapes_only(shapes) for option in ("--shape", shape)]
        command = [sys.executable, "-m", "edgec", "build", str(model), "--target", target, "--out", str(folder)]
        done = subprocess.run(
            [*command, "--quiet", *options], capture_output=True, text=True, timeout=LONGEST_BUILD_SECONDS, check=False
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return Built(network=model.stem, target=target, failed=" ".join(line.strip() for line in lines[:3]))
        return found(folder, model.stem, target)


def found(folder: Path, network: str, target: str) -> Built:
    """What an artefact and its report say."""
    report = Report.model_validate_json((folder / "report.json").read_text(encoding="utf-8"))
    plan = json.loads((folder / "launch_plan.json").read_text(encoding="utf-8"))
    size, checked = report.metrics.artifact_bytes, report.verification
    return Built(
        network=network,
        target=target,
        products=_products(onnx.load(folder / "model.onnx").graph),
        launches=len(plan["launches"]),
        on_processor=tuple(node for call in plan["host_calls"] for node in call["nodes"]),
        single_threads=tuple(each.node for each in report.fallbacks if "single thread" in each.reason),
        machine_code=_in_machine_code(folder, plan["kernels"]) if plan["language"] == "cuda" else None,
        beyond_weights_bytes=int(size.value) - plan["weights_bytes"] if isinstance(size, Value) else 0,
        max_relative_error=checked.max_relative_error if isinstance(checked, Verified) else None,
    )


def _products(graph: onnx.GraphProto) -> int:
    """Those in branches and loops too."""
    inside = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return sum(node.op_type in PRODUCTS for node in graph.node) + sum(map(_products, inside))


def _in_machine_code(folder: Path, kernels: list[str]) -> bool:
    path = folder / "src" / "kernels.cubin"
    code = path.read_bytes() if path.is_file() else b""
    return all(kernel.encode() in code for kernel in kernels)


def page(results: Results) -> str:
    """The page of the documentation."""
    parts = [_INTRODUCTION]
    for target in dict.fromkeys(built.target for built in results.builds):
        parts += [f"## {target}\n", _TABLE_HEAD]
        parts += [_row(built) for built in results.builds if built.target == target]
        parts.append("")
    return "\n".join(parts)


def _row(built: Built) -> str:
    if built.failed:
        return f"| {built.network} | | | | | | {built.failed} |"
    elsewhere = [f"processor: {', '.join(built.on_processor)}"] if built.on_processor else []
    elsewhere += [f"one thread: {', '.join(built.single_threads)}"] if built.single_threads else []
    compiled = {None: "by the driver", True: "all", False: "**not all**"}[built.machine_code]
    error = "not run" if built.max_relative_error is None else f"{built.max_relative_error:.1e}"
    beyond = f"{built.beyond_weights_bytes / 2**20:.2f}"
    cells = (built.network, built.products, built.launches, "; ".join(elsewhere) or "–", compiled, beyond, error)
    return f"| {' | '.join(map(str, cells))} |"


_INTRODUCTION = """\
<!-- Written by benchmarks/graphics_builds.py; do not edit. -->

# Networks on graphics processors

What comes of networks that are built for graphics processors. Products are the convolutions and products of matrices of
the network; everything else is to be part of their kernels. The largest error is against ONNX Runtime, as a share of
the outputs' range; OpenCL artefacts were run on PoCL, a driver that computes on the processor. No CUDA artefact was
run. These are no speeds: those of a processor that plays graphics processor mean nothing.
"""

_TABLE_HEAD = """\
| network | products | launches | elsewhere | machine code | MiB beyond the weights | largest error |
|---|---:|---:|---|---|---:|---:|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--docs", action="store_true", help="write the page from all results so far")
    given = parser.parse_args()
    shapes = tomllib.loads((HERE / "shapes.toml").read_text(encoding="utf-8"))
    results = Results.model_validate_json(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else Results()
    for target in given.targets.split(","):
        for model in given.models:
            made = build(model.resolve(), target, shapes.get(model.stem, []))
            print(made.model_dump_json(), flush=True)
            others = [each for each in results.builds if (each.target, each.network) != (target, model.stem)]
            builds = sorted([*others, made], key=lambda each: (each.target, each.network))
            results = Results(builds=tuple(builds))
            RESULTS.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if given.docs:
        PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
