"""The Makefile of a project: one target for the vendor's synthesis, one to bring its report back."""

from __future__ import annotations

from edgec.core.target_hls import HlsTool

VIVADO_OPTIONS = "reset=1 csim=0 synth=1 cosim=0 validation=0 export=1 vsynth=0 fifo_opt=0"
_SYNTHESIS = {
    HlsTool.VITIS: "vitis-run --tcl build_prj.tcl --mode hls",
    HlsTool.VIVADO: f'vivado_hls -f build_prj.tcl "{VIVADO_OPTIONS}"',
    HlsTool.QUARTUS: "$(MAKE) {name}-fpga",
    HlsTool.ONEAPI: "mkdir -p build && cd build && cmake .. && $(MAKE) report",
    HlsTool.CATAPULT: "catapult -product ultra -shell -f build_prj.tcl -eval 'set ::argv \"vsynth=1\"'",
}
_REPORT = {
    HlsTool.VITIS: "project/{name}_prj/solution1/syn/report/{name}_csynth.xml",
    HlsTool.VIVADO: "project/{name}_prj/solution1/syn/report/{name}_csynth.xml",
    HlsTool.QUARTUS: "project/{name}-fpga.prj",
    HlsTool.ONEAPI: "project/build/{name}.report.prj",
    HlsTool.CATAPULT: "project/{name}_prj/{name}.v1",
}
"""What `edgec report --import` can read."""

VITIS_OPTIONS = (
    "array set opt {\n"
    + "".join(f"    {option.split('=')[0]:10} {option.split('=')[1]}\n" for option in VIVADO_OPTIONS.split())
    + "}\n"
)
"""`build_opt.tcl`, which Vitis' script reads; hls4ml writes it only when it starts Vitis itself."""


def makefile(tool: HlsTool, name: str) -> str:
    """`make synthesis` and `make report`."""
    lines = [
        f"# Needs {tool.value} on PATH.",
        "synthesis:",
        f"\tcd project && {_SYNTHESIS[tool].format(name=name)}",
        "",
        "report:",
        f"\tedgec report . --import {_REPORT[tool].format(name=name)}",
        "",
        ".PHONY: synthesis report",
        "",
    ]
    return "\n".join(lines)
