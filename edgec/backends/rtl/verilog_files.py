"""Verilog around an unrolled design: ports that fit a package, and a testbench with vectors of the reference."""

from __future__ import annotations

import numpy as np

from edgec.backends.rtl.integer_graph import Input, IntegerGraph, Integers
from edgec.backends.rtl.packing import Packing, pack
from edgec.backends.rtl.unrolled import Design

VECTORS = 16
PINS = {"clk": 1, "load": 1, "din": 8, "dout": 8}
"""Bits of the ports of `pins_module`."""


def pins_module(design: Design, name: str) -> str:
    """A module with eight pins in and eight out around a design of any width; whole bytes are shifted."""
    inner, outer = (sum(bus.bits for bus in buses) for buses in (design.inputs, design.outputs))
    taken, given = (-(-bits // 8) * 8 for bits in (inner, outer))
    shifted = f"{{received[{taken - 9}:0], din}}" if taken > 8 else "din"
    sent = f"{{sending[{given - 9}:0], 8'b0}}" if given > 8 else "8'b0"
    return f"""// Shifts bytes in, most significant first; `load` starts an inference and fetches an earlier result.
module {name} (
    input clk,
    input load,
    input [7:0] din,
    output [7:0] dout
);
    reg [{taken - 1}:0] received;
    reg [{inner - 1}:0] x;
    reg [{given - 1}:0] sending;
    wire [{outer - 1}:0] y;
    always @(posedge clk) begin
        received <= {shifted};
        if (load) x <= received[{inner - 1}:0];
        sending <= load ? y : {sent};
    end
    {design.name} network (.clk(clk), .x(x), .y(y));
    assign dout = sending[{given - 1}:{given - 8}];
endmodule
"""


def random_inputs(graph: IntegerGraph, count: int, seed: int) -> list[Integers]:
    """Integers over the whole range of each input."""
    random = np.random.default_rng(seed)
    sources = (graph.operations[border.value] for border in graph.inputs)
    return [
        random.integers(source.low, source.high + 1, (count, source.size), np.int64)
        for source in sources
        if isinstance(source, Input)
    ]


def testbench(graph: IntegerGraph, design: Design, seed: int) -> dict[str, str]:
    """A testbench and its vectors, by file name; for any Verilog simulator, run in the folder of the files."""
    inputs = random_inputs(graph, VECTORS, seed)
    values = graph.evaluate(inputs)
    given = _words(inputs, [*design.inputs])
    expected = _words([values[border.value] for border in graph.outputs], [*design.outputs])
    inner, outer = (sum(bus.bits for bus in buses) for buses in (design.inputs, design.outputs))
    text = f"""`timescale 1ns / 1ps
module {design.name}_testbench;
    reg clk = 0;
    reg [{inner - 1}:0] x;
    wire [{outer - 1}:0] y;
    reg [{inner - 1}:0] given [0:{VECTORS - 1}];
    reg [{outer - 1}:0] expected [0:{VECTORS - 1}];
    integer cycle, failures;
    {design.name} network (.clk(clk), .x(x), .y(y));
    initial begin
        $readmemh("given.hex", given);
        $readmemh("expected.hex", expected);
        failures = 0;
        for (cycle = 0; cycle < {VECTORS + design.latency}; cycle = cycle + 1) begin
            x = given[cycle < {VECTORS} ? cycle : {VECTORS - 1}];
            #5;
            if (cycle >= {design.latency} && y !== expected[cycle - {design.latency}]) failures = failures + 1;
            clk = 1;
            #5 clk = 0;
        end
        if (failures == 0) $display("PASS: {VECTORS} vectors");
        else $display("FAIL: %0d of {VECTORS} vectors", failures);
        $finish;
    end
endmodule
"""
    return {f"{design.name}_testbench.v": text, "given.hex": given, "expected.hex": expected}


def _words(values: list[Integers], buses: list[Packing]) -> str:
    """One line of hexadecimal digits an inference, the parts of a port side by side."""
    total = [0] * len(values[0])
    at = 0
    for integers, bus in zip(values, buses, strict=True):
        total = [word | part << at for word, part in zip(total, pack(integers, bus), strict=True)]
        at += bus.bits
    return "".join(f"{word:x}\n" for word in total)
