"""A netlist as yosys writes it, with every cell as a truth table, a flip-flop or a memory, in order of evaluation."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.backends.rtl.cell_functions import GATE_INPUTS, GATE_TABLES, CellFunction, lookup_table

ZERO, ONE = 0, 1
"""Nets 0 and 1 are the constants; unknown bits are 0."""


@dataclass(frozen=True)
class Gate:
    """A function of nets: `table` bit r is the result where input k is bit k of r."""

    cell: str
    output: int
    inputs: tuple[int, ...]
    table: int


@dataclass(frozen=True)
class FlipFlop:
    """A register of one bit on the rising edge of the only clock."""

    cell: str
    output: int
    data: int
    initial: int


@dataclass(frozen=True)
class Memory:
    """Words of bits with ports that are read and written at the clock.

    Attributes:
        name: of the cell.
        width: bits of a word.
        words: number of words.
        address_bits: bits of an address.
        contents: bits of word 0 first, lowest bit first.
        reads: address and data nets of each reading port.
        writes: address, data and enable nets of each writing port.
    """

    name: str
    width: int
    words: int
    address_bits: int
    contents: tuple[int, ...]
    reads: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    writes: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True)
class Netlist:
    """One module, flat.

    Attributes:
        nets: number of nets.
        gates: in an order in which each reads only what is ready.
        flip_flops: registers.
        memories: memories.
        ports: nets of each port, lowest bit first.
    """

    nets: int
    gates: tuple[Gate, ...]
    flip_flops: tuple[FlipFlop, ...]
    memories: tuple[Memory, ...]
    ports: Mapping[str, tuple[int, ...]]

    def cells(self) -> Counter[str]:
        """How many there are of each cell."""
        return Counter(gate.cell for gate in self.gates) + Counter(register.cell for register in self.flip_flops)

    def fanouts(self) -> list[int]:
        """How many pins each net drives."""
        count = [0] * self.nets
        for gate in self.gates:
            for source in gate.inputs:
                count[source] += 1
        for flip_flop in self.flip_flops:
            count[flip_flop.data] += 1
        return count


def read_netlist(path: Path, functions: Mapping[str, CellFunction]) -> Netlist:
    """Read the JSON that yosys writes of a flat design whose only module is its top.

    Args:
        path: the file.
        functions: what cells of a library compute, by name.

    Raises:
        ValueError: for a cell that is none of ours and none of the library's.
    """
    modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    module = next(m for m in modules.values() if int(m.get("attributes", {}).get("top", "0"), 2))
    reader = _Reader(functions)
    for name, cell in module["cells"].items():
        reader.take(name, cell)
    initial = _initial_values(module["netnames"])
    flip_flops = tuple(
        FlipFlop(cell, reader.net(output), reader.net(data), initial.get(output, 0))
        for cell, output, data in reader.registers
    )
    ports = {name: tuple(reader.net(bit) for bit in port["bits"]) for name, port in module["ports"].items()}
    return Netlist(len(reader.numbers) - 2, _levelled(reader.gates), flip_flops, tuple(reader.memories), ports)


class _Reader:
    def __init__(self, functions: Mapping[str, CellFunction]) -> None:
        self.functions = functions
        self.numbers: dict[str | int, int] = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}
        self.gates: list[Gate] = []
        self.registers: list[tuple[str, str | int, str | int]] = []
        self.memories: list[Memory] = []

    def net(self, bit: str | int) -> int:
        """Number of a net."""
        return self.numbers.setdefault(bit, len(self.numbers) - 2)

    def take(self, name: str, cell: Mapping[str, Any]) -> None:
        """Sort a cell."""
        kind, pins = cell["type"], cell["connections"]
        if kind in GATE_TABLES:
            inputs = tuple(self.net(pins[pin][0]) for pin in GATE_INPUTS[kind])
            self.gates.append(Gate(kind, self.net(pins["Y"][0]), inputs, GATE_TABLES[kind]))
        elif kind == "$lut":
            table = int(cell["parameters"]["LUT"], 2)
            inputs = tuple(self.net(bit) for bit in pins["A"])
            self.gates.append(Gate(f"LUT{len(inputs)}", self.net(pins["Y"][0]), inputs, table))
        elif kind == "$_DFF_P_":
            self.registers.append((kind, pins["Q"][0], pins["D"][0]))
        elif kind == "$mem_v2":
            self.memories.append(self._memory(name, cell))
        elif kind in self.functions:
            self._library_cell(kind, pins)
        elif kind != "$scopeinfo":
            raise ValueError(f"cell {name} is a {kind}, which has no function here")

    def _library_cell(self, kind: str, pins: Mapping[str, list[str | int]]) -> None:
        function = self.functions[kind]
        if function.next_state:
            for output in function.outputs:
                if output.pin in pins:
                    self.registers.append((kind, pins[output.pin][0], pins[function.next_state][0]))
            return
        for output in function.outputs:
            if output.pin in pins:
                inputs = tuple(self.net(pins[pin][0]) for pin in output.inputs)
                self.gates.append(Gate(kind, self.net(pins[output.pin][0]), inputs, lookup_table(output)))

    def _memory(self, name: str, cell: Mapping[str, Any]) -> Memory:
        parameters = {key: value for key, value in cell["parameters"].items() if key != "MEMID"}
        width, words, address = (int(parameters[key], 2) for key in ("WIDTH", "SIZE", "ABITS"))
        bits = parameters["INIT"][::-1]
        contents = tuple(1 if bit == "1" else 0 for bit in bits[: words * width].ljust(words * width, "x"))
        pins = {pin: tuple(self.net(bit) for bit in nets) for pin, nets in cell["connections"].items()}

        def port(pin: str, at: int, size: int) -> tuple[int, ...]:
            return pins[pin][at * size : (at + 1) * size]

        reads = tuple(
            (port("RD_ADDR", at, address), port("RD_DATA", at, width)) for at in range(int(parameters["RD_PORTS"], 2))
        )
        writes = tuple(
            (port("WR_ADDR", at, address), port("WR_DATA", at, width), port("WR_EN", at, width))
            for at in range(int(parameters["WR_PORTS"], 2))
        )
        if "0" in parameters["RD_CLK_ENABLE"][-len(reads) :]:
            raise ValueError(f"memory {name} is read without a clock")
        return Memory(name, width, words, address, contents, reads, writes)


def _initial_values(names: Mapping[str, Any]) -> dict[str | int, int]:
    found: dict[str | int, int] = {}
    for name in names.values():
        start = name.get("attributes", {}).get("init")
        if start is not None:
            for bit, value in zip(name["bits"], reversed(start), strict=False):
                found[bit] = 1 if value == "1" else 0
    return found


def _levelled(gates: list[Gate]) -> tuple[Gate, ...]:
    """Each gate behind those that it reads; equal depths in order of their outputs."""
    driver = {gate.output: position for position, gate in enumerate(gates)}
    waiting = [sum(source in driver for source in gate.inputs) for gate in gates]
    readers: dict[int, list[int]] = {}
    for position, gate in enumerate(gates):
        for source in gate.inputs:
            if source in driver:
                readers.setdefault(driver[source], []).append(position)
    depth = [0] * len(gates)
    ready = [(0, position) for position, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        level, position = heapq.heappop(ready)
        order.append(gates[position])
        for reader in readers.get(position, ()):
            depth[reader] = max(depth[reader], level + 1)
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, (depth[reader], reader))
    if len(order) != len(gates):
        raise ValueError("the netlist has a loop without a register")
    return tuple(order)
