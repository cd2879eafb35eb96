"""A netlist as yosys writes it, with every cell as a truth table, a flip-flop or a memory, in order of evaluation.

Modules that synthesis kept apart are put into each other here: a module that is used a thousand times is read once.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """A register of one bit on the rising edge of the only clock; `path` says in which instances it is."""

    cell: str
    output: int
    data: int
    initial: int
    path: str = ""


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
    """One module with all that is in it.

    Attributes:
        nets: number of nets.
        gates: in an order in which each reads only what is ready.
        flip_flops: registers.
        memories: memories.
        ports: nets of each port, lowest bit first.
        contents: cells of each kind by the module that they are written in.
    """

    nets: int
    gates: tuple[Gate, ...]
    flip_flops: tuple[FlipFlop, ...]
    memories: tuple[Memory, ...]
    ports: Mapping[str, tuple[int, ...]]
    contents: Mapping[str, Counter[str]]

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
    """Read the JSON that yosys writes of a design.

    Args:
        path: the file.
        functions: what cells of a library compute, by name.

    Raises:
        ValueError: for a cell that is none of ours, none of the library's and no module of the design.
    """
    modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    top, module = next((n, m) for n, m in modules.items() if int(m.get("attributes", {}).get("top", "0"), 2))
    reader = _Reader(functions, modules)
    ports = {name: [reader.fresh() for _ in port["bits"]] for name, port in module["ports"].items()}
    reader.take_module(top, ports, "")
    return reader.netlist(ports)


Bit = str | int


class _Reader:
    """Collects cells. Nets get numbers as they are met; nets that a port makes one are joined at the end."""

    def __init__(self, functions: Mapping[str, CellFunction], modules: Mapping[str, Any]) -> None:
        self.functions, self.modules = functions, modules
        self.joined: list[int] = [ZERO, ONE]
        self.gates: list[tuple[str, int, tuple[int, ...], int]] = []
        self.registers: list[tuple[str, int, int, int, str]] = []
        self.memories: list[Memory] = []
        self.contents: dict[str, Counter[str]] = {}
        self.nets: dict[Bit, int] = {}
        self._known_tables: dict[str, tuple[int, ...]] = {}

    def net(self, bit: Bit) -> int:
        """Number of a net of the module that is being read."""
        found = self.nets.get(bit)
        if found is None:
            found = self.nets[bit] = self.fresh()
        return found

    def fresh(self) -> int:
        """Number of a new net."""
        self.joined.append(len(self.joined))
        return len(self.joined) - 1

    def take_module(self, name: str, ports: Mapping[str, Sequence[int]], path: str) -> None:
        """Read a module whose ports are these nets."""
        module = self.modules[name]
        outside = self.nets
        self.nets = {"0": ZERO, "1": ONE, "x": ZERO, "z": ZERO}
        for port, outer in ports.items():
            for bit, net in zip(module["ports"][port]["bits"], outer, strict=True):
                if self.nets.setdefault(bit, net) != net:
                    self._join(self.nets[bit], net)
        initial = _initial_values(module["netnames"])
        counts = self.contents.setdefault(_plain_name(name), Counter())
        for instance, cell in module["cells"].items():
            if cell["type"] in self.modules:
                inner = {port: [self.net(bit) for bit in bits] for port, bits in cell["connections"].items()}
                self.take_module(cell["type"], inner, f"{path}{instance}.")
            else:
                self._take(instance, cell, initial, counts, path)
        self.nets = outside

    def netlist(self, ports: Mapping[str, Sequence[int]]) -> Netlist:
        """What was read, with these nets as its ports."""
        numbers: dict[int, int] = {ZERO: ZERO, ONE: ONE}

        def final(net: int) -> int:
            root = self._root(net)
            return numbers.setdefault(root, len(numbers))

        gates = [
            Gate(cell, final(output), tuple(final(net) for net in inputs), table)
            for cell, output, inputs, table in self.gates
        ]
        flip_flops = tuple(
            FlipFlop(cell, final(output), final(data), initial, path)
            for cell, output, data, initial, path in self.registers
        )
        memories = tuple(_renumbered(memory, final) for memory in self.memories)
        bits = {name: tuple(final(net) for net in nets) for name, nets in ports.items()}
        return Netlist(len(numbers), _levelled(gates), flip_flops, memories, bits, self.contents)

    def _root(self, net: int) -> int:
        while self.joined[net] != net:
            net = self.joined[net]
        return net

    def _join(self, one: int, other: int) -> None:
        """Make two nets one; a constant stays what it is."""
        low, high = sorted((self._root(one), self._root(other)))
        self.joined[high] = low

    def _take(
        self, name: str, cell: Mapping[str, Any], initial: Mapping[Bit, int], counts: Counter[str], path: str
    ) -> None:
        """Sort a cell."""
        kind, pins = cell["type"], cell["connections"]
        if kind == "$scopeinfo":
            return
        counts[kind] += 1
        if kind in GATE_TABLES:
            inputs = tuple(self.net(pins[pin][0]) for pin in GATE_INPUTS[kind])
            self.gates.append((kind, self.net(pins["Y"][0]), inputs, GATE_TABLES[kind]))
        elif kind == "$lut":
            table = int(cell["parameters"]["LUT"], 2)
            inputs = tuple(self.net(bit) for bit in pins["A"])
            self.gates.append((f"LUT{len(inputs)}", self.net(pins["Y"][0]), inputs, table))
        elif kind == "$_DFF_P_":
            self._register(kind, pins["Q"][0], pins["D"][0], initial, path)
        elif kind == "$mem_v2":
            self.memories.append(self._memory(name, cell))
        elif kind in self.functions:
            self._library_cell(kind, pins, initial, path)
        else:
            raise ValueError(f"cell {name} is a {kind}, which has no function here")

    def _register(self, kind: str, output: Bit, data: Bit, initial: Mapping[Bit, int], path: str) -> None:
        self.registers.append((kind, self.net(output), self.net(data), initial.get(output, 0), path))

    def _library_cell(self, kind: str, pins: Mapping[str, list[Bit]], initial: Mapping[Bit, int], path: str) -> None:
        function = self.functions[kind]
        if function.next_state:
            for output in function.outputs:
                if output.pin in pins:
                    self._register(kind, pins[output.pin][0], pins[function.next_state][0], initial, path)
            return
        for output, table in zip(function.outputs, self._tables(kind), strict=True):
            if output.pin in pins:
                inputs = tuple(self.net(pins[pin][0]) for pin in output.inputs)
                self.gates.append((kind, self.net(pins[output.pin][0]), inputs, table))

    def _tables(self, kind: str) -> tuple[int, ...]:
        """Truth tables of a cell's outputs; worked out once."""
        if kind not in self._known_tables:
            self._known_tables[kind] = tuple(lookup_table(output) for output in self.functions[kind].outputs)
        return self._known_tables[kind]

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


def _plain_name(module: str) -> str:
    """A module's name without the parameters that yosys puts into it."""
    return module.split("\\")[1] if module.startswith("$paramod") else module


def _renumbered(memory: Memory, final: Callable[[int], int]) -> Memory:
    reads = tuple(tuple(tuple(map(final, nets)) for nets in port) for port in memory.reads)
    writes = tuple(tuple(tuple(map(final, nets)) for nets in port) for port in memory.writes)
    return replace(memory, reads=reads, writes=writes)  # type: ignore[arg-type]


def _initial_values(names: Mapping[str, Any]) -> dict[Bit, int]:
    found: dict[Bit, int] = {}
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
