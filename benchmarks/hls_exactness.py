"""C simulation of projects of high-level synthesis against ONNX Runtime, bit for bit.

`python benchmarks/hls_exactness.py [--samples 10000] [--tool Vitis …]` prints one row a network and tool, and writes
benchmarks/results/hls-exactness.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir

from benchmarks import hls_networks
from edgec.backends.executor import execute
from edgec.backends.hls4ml.backend import HlsBackend
from edgec.core.progress import Silent
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.core.target_hls import HlsTool
from edgec.core.tensor import Sample
from edgec.graph.reference import ReferenceSession
from edgec.measure.hls_simulation import simulate

RESULTS = Path(__file__).parent / "results" / "hls-exactness.json"
NETWORKS = {
    "ECON-T encoder": hls_networks.encoder,
    "MLP 16-64-32-32-5": hls_networks.mlp,
    "residual and max-pool": hls_networks.residual,
    "binary": hls_networks.binary,
}


def target_with(tool: HlsTool) -> Target:
    """The PYNQ-Z2, or another vendor's tool with its default device."""
    target = load_target("pynq-z2")
    if target.hls is None:
        raise TypeError("the target has no section [hls]")
    parts = {HlsTool.QUARTUS: "Arria10", HlsTool.ONEAPI: "Agilex7"}
    part = parts.get(tool, target.hls.part)
    return target.model_copy(update={"hls": target.hls.model_copy(update={"tool": tool, "part": part})})


def samples_of(model: ir.Model, count: int) -> list[Sample]:
    """Normal numbers, some beyond the range of the quantiser."""
    value = model.graph.inputs[0]
    shape = tuple(int(str(extent)) for extent in value.shape or ())
    random = np.random.default_rng(7)
    return [{str(value.name): (2 * random.standard_normal(shape)).astype(np.float32)} for _ in range(count)]


def compare(name: str, tool: HlsTool, count: int) -> dict[str, object]:
    """One row: seconds for the project, for compiling, and the samples that differ in any bit."""
    model = NETWORKS[name]()
    begin = time.perf_counter()
    plan = HlsBackend().plan(model, target_with(tool), name="network", threads=1, progress=Silent())
    row: dict[str, object] = {"network": name, "tool": tool.value, "project_s": round(time.perf_counter() - begin, 2)}
    if plan.interface.runner is None:
        return row | {"differing": "needs the vendor's compiler"}
    samples = samples_of(model, count)
    with tempfile.TemporaryDirectory() as folder:
        execute(plan, Path(folder), Silent())
        outputs = simulate(Path(folder), plan.interface, samples).outputs
    session = ReferenceSession(model)
    differing = 0
    for sample, made in zip(samples, outputs, strict=True):
        wanted = session.run(sample)
        differing += any(not np.array_equal(made[key], wanted[key]) for key in wanted)
    distinct = len({output.tobytes() for made in outputs for output in made.values()})
    return row | {"samples": count, "differing": differing, "distinct outputs": distinct}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--tool", nargs="*", default=[tool.value for tool in HlsTool])
    options = parser.parse_args()
    rows = []
    for tool in options.tool:
        for name in NETWORKS:
            try:
                rows.append(compare(name, HlsTool(tool), options.samples))
            except Exception as problem:  # noqa: BLE001 - a row of the table, with its reason
                rows.append({"network": name, "tool": tool, "differing": str(problem)})
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
