"""Registers in Verilog text: plain, or three copies with a vote (triple modular redundancy)."""

from __future__ import annotations

from importlib import resources


def register_lines(name: str, width: int, source: str, *, triple: bool) -> list[str]:
    """Statements that declare a bus and give it, at each clock, what another bus holds.

    Args:
        name: the bus.
        width: its bits.
        source: an expression of as many bits.
        triple: three copies of every bit, and a vote.
    """
    if not triple:
        return [f"reg [{width - 1}:0] {name};", f"always @(posedge clk) {name} <= {source};"]
    return [
        f"wire [{width - 1}:0] {name};",
        f"edgec_register #(.WIDTH({width}), .COPIES(3)) {name}_copies (.clk(clk), .d({source}), .q({name}));",
    ]


def hardware_source(name: str) -> str:
    """The text of a Verilog file of `hw/rtl/`."""
    return (resources.files("edgec.hw") / "rtl" / name).read_text(encoding="ascii")
