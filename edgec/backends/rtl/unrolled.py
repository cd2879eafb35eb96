"""The unrolled architecture: every product has its own adders, and a new inference starts every clock cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.rtl.binary_products import sign_products
from edgec.backends.rtl.constant_products import Port, ProductModule, product_module, supporting_modules
from edgec.backends.rtl.elementwise import element_lines
from edgec.backends.rtl.integer_graph import (
    Affine,
    Input,
    IntegerGraph,
    Integers,
    Interval,
    Largest,
    Operation,
    Rearranged,
    intervals_of,
)
from edgec.backends.rtl.packing import Packing, literal, resized
from edgec.backends.rtl.registers import hardware_source, register_lines
from edgec.backends.rtl.rounding import with_halves_in_biases
from edgec.backends.rtl.signs import Sign


@dataclass(frozen=True)
class Design:
    """A network in Verilog.

    The module `name` has ports `clk`, `x` and `y`: all inputs and all outputs of one inference, side by side.

    Attributes:
        name: the module.
        verilog: text by file name.
        inputs: the parts of `x`, lowest bits first.
        outputs: the parts of `y`, likewise.
        latency: clock cycles from `x` to `y`.
        adders: estimate of the adder bits.
        products: modules of products with constants; one may have many instances.
    """

    name: str
    verilog: dict[str, str]
    inputs: tuple[Packing, ...]
    outputs: tuple[Packing, ...]
    latency: int
    adders: float
    products: tuple[str, ...] = ()


@dataclass
class DesignText:
    """The top module while it is written.

    Attributes:
        name: of the module.
        delay: adders a clock cycle.
        triple: whether there are three copies of each register.
        lookup_inputs: see `unroll`.
        ports: declarations of ports besides `clk`, `x` and `y`.
        files: text of further files by name.
        lines: statements.
        modules: products by what they compute.
        buses: value of each operation.
        ready: clock cycle in which each value is there.
        signs: whether a value holds nothing but −1 and +1.
        adders: estimated adder bits so far.
    """

    name: str
    delay: int
    triple: bool = False
    lookup_inputs: int | None = 4
    ports: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    modules: dict[tuple[bytes, ...], ProductModule] = field(default_factory=dict)
    buses: list[Packing] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    signs: list[bool] = field(default_factory=list)
    adders: float = 0.0


ProductWriter = Callable[[DesignText, Affine, Packing, Packing], int]
"""Writes the products of an operation from the bus of its source to its own; gives the clock cycles that they take."""


def unroll(
    graph: IntegerGraph, name: str, delay: int, *, triple: bool = False, lookup_inputs: int | None = 4
) -> Design:
    """The Verilog of a whole network whose weights are constants.

    Args:
        graph: the network.
        name: of the module.
        delay: adders that a signal may pass in one clock cycle.
        triple: three copies of each register, and votes.
        lookup_inputs: of a look-up table, which has a carry chain; None for standard cells.

    Raises:
        EdgecError: EC1101 where a value would be too wide.
    """
    return write_design(
        with_halves_in_biases(graph), DesignText(name, delay, triple, lookup_inputs), write_constant_products
    )


def write_design(graph: IntegerGraph, text: DesignText, write_products: ProductWriter) -> Design:
    """The Verilog of a whole network.

    Args:
        graph: the network.
        text: the module, still without statements of the network.
        write_products: writes its products.

    Raises:
        EdgecError: EC1101 where a value would be too wide.
    """
    for number, (operation, interval) in enumerate(zip(graph.operations, intervals_of(graph), strict=True)):
        _write_operation(text, operation, Packing(f"v{number}", interval), write_products)
    inputs = tuple(text.buses[border.value] for border in graph.inputs)
    outputs = tuple(text.buses[border.value] for border in graph.outputs)
    latency = max(text.ready[border.value] for border in graph.outputs)
    at_end = [_delayed(text, border.value, latency) for border in graph.outputs]
    verilog = {f"{text.name}.v": _top_module(text, inputs, at_end)}
    if text.modules:
        products = [source for module in text.modules.values() for source in module.sources.values()]
        verilog[f"{text.name}_products.v"] = "\n".join(products)
        verilog[f"{text.name}_adders.v"] = "\n".join(supporting_modules().values())
    if text.triple:
        text.files[f"{text.name}_registers.v"] = hardware_source("registers.v")
    names = tuple(module.name for module in text.modules.values())
    return Design(text.name, {**verilog, **text.files}, inputs, outputs, latency, text.adders, names)


def _top_module(text: DesignText, inputs: tuple[Packing, ...], outputs: list[Packing]) -> str:
    width, at = sum(bus.bits for bus in inputs), 0
    lines = [f"module {text.name} (", "    input clk,", *text.ports, f"    input [{width - 1}:0] x,"]
    lines += [f"    output [{sum(bus.bits for bus in outputs) - 1}:0] y", ");"]
    for bus in inputs:
        lines.append(f"    wire [{bus.bits - 1}:0] {bus.name} = x[{at + bus.bits - 1}:{at}];")
        at += bus.bits
    lines += [f"    {line}" for line in text.lines]
    joined = ", ".join(bus.name for bus in reversed(outputs))
    return "\n".join([*lines, f"    assign y = {{{joined}}};", "endmodule", ""])


def _write_operation(text: DesignText, operation: Operation, bus: Packing, write_products: ProductWriter) -> None:
    start = max((text.ready[source] for source in operation.sources), default=0)
    sources = tuple(_delayed(text, source, start) for source in operation.sources)
    latency = 0
    match operation:
        case Input():
            pass
        case Affine():
            latency = write_products(text, operation, sources[0], bus)
        case Rearranged():
            text.lines.append(f"wire [{bus.bits - 1}:0] {bus.name};")
            text.lines += [f"assign {bus.slice(at)} = {sources[0].slice(read)};" for at, read in _moves(operation)]
        case _:
            latency = 1
            text.lines.append(f"wire [{bus.bits - 1}:0] {bus.name}_next;")
            ahead = Packing(f"{bus.name}_next", bus.interval)
            for element in range(operation.size):
                text.lines += element_lines(operation, element, sources, ahead.slice(element), bus.widths[element])
            text.lines += register_lines(bus.name, bus.bits, ahead.name, triple=text.triple)
    text.buses.append(bus)
    text.ready.append(start + latency)
    moved = isinstance(operation, Rearranged | Largest) and text.signs[operation.sources[0]]
    text.signs.append(moved or isinstance(operation, Sign))


def _moves(operation: Rearranged) -> Iterator[tuple[int, int]]:
    return enumerate(operation.reads.tolist())


def write_constant_products(text: DesignText, operation: Affine, source: Packing, bus: Packing) -> int:
    """Instances of the product modules; all take the time of the slowest."""
    text.lines.append(f"wire [{bus.bits - 1}:0] {bus.name};")
    uses = []
    for group, positions in enumerate(operation.reads):
        for position, reads in enumerate(positions):
            module, read = _module_for(text, operation, group, reads, source)
            uses.append((module, read, operation.place[group, position]))
    latency = max(module.latency for module, _, _ in uses if module is not None) if any(m for m, _, _ in uses) else 0
    for number, (module, read, place) in enumerate(uses):
        instance = f"{bus.name}_p{number}"
        if module is None:
            text.lines += [
                f"assign {bus.slice(at)} = {literal(int(bus.interval.low[at]), bus.widths[at])};" for at in place
            ]
            continue
        text.adders += module.adders
        width = sum(port.width for port in module.outputs)
        of_element = source.positive if module.of_signs else source.slice
        operands = ", ".join(of_element(element) for element in reversed(read.tolist()))
        text.lines.append(f"wire [{width - 1}:0] {instance}_now;")
        text.lines.append(
            f"{module.name} {instance} (.clk(clk), .model_inp({{{operands}}}), .model_out({instance}_now));"
        )
        result = _held(text, f"{instance}_now", width, latency - module.latency)
        text.lines += _scatter(result, module.outputs, place, bus)
    return latency


def _module_for(
    text: DesignText, operation: Affine, group: int, reads: Integers, source: Packing
) -> tuple[ProductModule | None, Integers]:
    """The module of one position and the elements that it reads; what is constant goes into the bias."""
    weights, bias = operation.weights[group], operation.bias[group]
    inside = reads >= 0
    reads, weights = reads[inside], weights[inside]
    low, high = source.interval.low[reads], source.interval.high[reads]
    fixed = (low == high) | (weights == 0).all(axis=1)
    bias = bias + np.where(low == high, low, 0) @ weights
    reads, weights, low, high = reads[~fixed], weights[~fixed], low[~fixed], high[~fixed]
    if not len(reads):
        return None, reads
    key = (weights.tobytes(), bias.tobytes(), low.tobytes(), high.tobytes())
    if key not in text.modules:
        name = f"{text.name}_product{len(text.modules)}"
        if text.signs[operation.sources[0]] and (np.abs(weights) == 1).all():
            made = sign_products(name, weights, bias, text.delay, text.lookup_inputs, triple=text.triple)
        else:
            made = product_module(name, weights, bias, Interval(low, high), text.delay, triple=text.triple)
        text.modules[key] = made
    return text.modules[key], reads


def _scatter(result: str, ports: tuple[Port, ...], place: Integers, bus: Packing) -> Iterator[str]:
    """The elements of a product at their places on the bus, at the width of their range."""
    at = 0
    for port, element in zip(ports, place.tolist(), strict=True):
        width = bus.widths[element]
        zeros = min(port.shift, width)
        kept = width - zeros
        bits = f"{result}[{at + port.width - 1}:{at}]"
        if port.width == 0 or kept == 0:
            yield f"assign {bus.slice(element)} = {literal(0, width)};"
        else:
            value = resized(bits, port.width, kept, signed=port.signed)
            below = f", {literal(port.below, zeros)}" if zeros else ""
            yield f"assign {bus.slice(element)} = {{{value}{below}}};"
        at += port.width


def _delayed(text: DesignText, value: int, cycle: int) -> Packing:
    """A value as it is in a later cycle."""
    bus = text.buses[value]
    return Packing(_held(text, bus.name, bus.bits, cycle - text.ready[value]), bus.interval)


def _held(text: DesignText, name: str, width: int, cycles: int) -> str:
    """The name of a bus after some registers; made once."""
    for cycle in range(cycles):
        held = f"{name}_d{cycle + 1}"
        if not any(line.endswith(f" {held};") for line in text.lines):
            source = name if cycle == 0 else f"{name}_d{cycle}"
            text.lines += register_lines(held, width, source, triple=text.triple)
    return f"{name}_d{cycles}" if cycles else name
