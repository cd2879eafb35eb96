"""Write `docs/reference/targets.md` from the datasheets.

python docs/render_targets.py
"""

from __future__ import annotations

import math
from pathlib import Path

from edgec.core.target import Quantity, Target
from edgec.core.target_files import load_target, target_names
from edgec.core.target_prediction import Prediction
from edgec.measure.prediction_work import Cost

PAGE = Path(__file__).parent / "reference" / "targets.md"
SECTIONS = ("core", "gpu", "memory", "power", "fpga", "asic")
HEAD = """\
# Targets

A target is a datasheet: `targets/NAME.toml`. Every number has a basis: `datasheet` (the vendor's or Arm's documents),
`published-measurement`, `measured-here` (read from this machine when the target is loaded) or `assumed`. The unit
stands at the end of the number's name. [Adding a target](../guides/adding-a-target.md) says how to write one.

Under `prediction` stand the rates of the latency model in microseconds of a unit of work, each times or over a factor
(one standard deviation): [Latency and energy without the board](../guides/latency-and-energy.md) says what they mean.

This page is written by `docs/render_targets.py`.
"""
HOST = """\
The datasheet of `host` states the tool chain only. Its numbers are read from the operating system when it is loaded:
processor flags, clock and memory from `/proc`, caches from `/sys`; `edgec targets show host --json` prints what they
are on your machine, each with the place that it was read from.
"""


_API = {"cuda": "CUDA C", "opencl": "OpenCL C"}


def render() -> str:
    """The page."""
    targets = [load_target(name) for name in target_names()]
    rows = "".join(f"| [`{each.name}`](#{each.name}) | {_title(each)} | {_emulator(each)} |\n" for each in targets)
    table = f"| target | device | verified by |\n|---|---|---|\n{rows}"
    return "\n".join([HEAD, table, *(_target(each) for each in targets)])


def _is_host(target: Target) -> bool:
    return target.backend == "tvm" and target.compiler.triple == "native"


def _is_native(target: Target) -> bool:
    return target.backend in ("tvm", "gpu") and target.compiler.triple == "native"


def _title(target: Target) -> str:
    """Without the name of this machine's processor."""
    return target.title.rpartition(" (")[0] if _is_native(target) else target.title


def _emulator(target: Target) -> str:
    if target.backend == "rtl":
        return "simulation of its netlist"
    if target.gpu is not None:
        return {"cuda": "compiling by NVRTC", "opencl": "running its kernels on PoCL"}[target.gpu.api]
    if target.emulator is None:
        return "running natively" if _is_native(target) else "–"
    return f"`{' '.join((target.emulator.executable, *target.emulator.arguments))}`"


def _target(target: Target) -> str:
    parts = [f"## {target.name}", "", f"{_title(target)}. {target.notes}", ""]
    if _is_host(target):
        return "\n".join([*parts, HOST])
    if target.backend == "tvm":
        parts += [_compiled_for(target), ""]
    if target.gpu is not None:
        parts += [f"{_API[target.gpu.api]}, architecture `{target.gpu.architecture}`.", ""]
    parts += [*_numbers(target), ""]
    if target.prediction is not None:
        parts += [*_prediction(target.prediction), ""]
    return "\n".join(parts)


def _compiled_for(target: Target) -> str:
    compiler = target.compiler
    return (
        f"Compiled for `{compiler.triple}`, core `{compiler.cpu}`, features `{' '.join(compiler.features)}`;"
        f" dot product: {target.core.dot_product}."
    )


def _numbers(target: Target) -> list[str]:
    rows = ["| number | value | basis | source |", "|---|---|---|---|"]
    stated = [section for section in SECTIONS if not (_is_native(target) and section in ("core", "memory"))]
    for section in stated:
        for key, quantity in getattr(target, section) or ():
            if isinstance(quantity, Quantity):
                cells = (f"`{section}.{key}`", f"{quantity.value:g}", quantity.basis.value, quantity.source)
                rows.append(f"| {' | '.join(cells)} |")
    return rows


def _prediction(prediction: Prediction) -> list[str]:
    columns = [f"{rates.threads} thread{'s' * (rates.threads > 1)}" for rates in prediction.rates]
    rows = [
        f"`prediction`: {prediction.source}, computed in {prediction.arithmetic}; networks that the fit had not"
        f" seen are missed by {prediction.unseen_error:.1%} in the mean. Basis: {prediction.basis}.",
        "",
        f"| rate | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for cost in Cost:
        fitted = [getattr(rates, cost.value) for rates in prediction.rates]
        cells = [f"{rate.value:g} (x or / {math.exp(rate.error):.2f})" for rate in fitted]
        rows.append(f"| `{cost.value}` | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
