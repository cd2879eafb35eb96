"""Write `docs/reference/targets.md` from the datasheets.

python docs/render_targets.py
"""

from __future__ import annotations

from pathlib import Path

from edgec.core.target import Quantity, Target
from edgec.core.target_files import load_target, target_names

PAGE = Path(__file__).parent / "reference" / "targets.md"
SECTIONS = ("core", "memory", "power", "prediction")
HEAD = """\
# Targets

A target is a datasheet: `targets/NAME.toml`. Every number has a basis: `datasheet` (the vendor's or Arm's documents),
`published-measurement`, `measured-here` (read from this machine when the target is loaded) or `assumed`. The unit
stands at the end of the number's name. [Adding a target](../guides/adding-a-target.md) says how to write one.

This page is written by `docs/render_targets.py`.
"""
HOST = """\
The datasheet of `host` states the tool chain only. Its numbers are read from the operating system when it is loaded:
processor flags, clock and memory from `/proc`, caches from `/sys`; `edgec targets show host --json` prints what they
are on your machine, each with the place that it was read from.
"""


def render() -> str:
    """The page."""
    targets = [load_target(name) for name in target_names()]
    rows = "".join(f"| [`{each.name}`](#{each.name}) | {_title(each)} | {_emulator(each)} |\n" for each in targets)
    table = f"| target | device | verified by |\n|---|---|---|\n{rows}"
    return "\n".join([HEAD, table, *(_target(each) for each in targets)])


def _title(target: Target) -> str:
    return "This machine" if target.compiler.triple == "native" else target.title


def _emulator(target: Target) -> str:
    if target.emulator is None:
        return "running natively"
    return f"`{' '.join((target.emulator.executable, *target.emulator.arguments))}`"


def _target(target: Target) -> str:
    compiler = target.compiler
    parts = [f"## {target.name}", "", f"{_title(target)}. {target.notes}", ""]
    if compiler.triple == "native":
        return "\n".join([*parts, HOST])
    parts += [
        f"Compiled for `{compiler.triple}`, core `{compiler.cpu}`, features `{' '.join(compiler.features)}`;"
        f" dot product: {target.core.dot_product}.",
        "",
        "| number | value | basis | source |",
        "|---|---|---|---|",
    ]
    for section in SECTIONS:
        for key, quantity in getattr(target, section) or ():
            if isinstance(quantity, Quantity):
                cells = (f"`{section}.{key}`", f"{quantity.value:g}", quantity.basis.value, quantity.source)
                parts.append(f"| {' | '.join(cells)} |")
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
