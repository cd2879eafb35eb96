"""The C tables that the simulator of `hw/rtl/simulate.c` is compiled with: a netlist, and the layout of its ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.rtl.integer_graph import Border, Input, IntegerGraph
from edgec.backends.rtl.netlist import ONE, Memory, Netlist
from edgec.backends.rtl.packing import Packing

_KINDS = {"float32": "f", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i"}
_PER_LINE = 16


@dataclass(frozen=True)
class LoadedWeights:
    """What is loaded over I2C before the first inference.

    Attributes:
        device: address on the bus.
        image: bytes from register 0 on, with their checksum.
    """

    device: int
    image: bytes


def parallel_layout(
    graph: IntegerGraph,
    inputs: tuple[Packing, ...],
    outputs: tuple[Packing, ...],
    latency: int,
    weights: LoadedWeights | None = None,
) -> str:
    """`layout.h` of a design whose ports `x` and `y` hold whole inferences."""
    return "\n".join(
        [
            "#define STREAM 0",
            *_weights(weights),
            f"enum {{ LATENCY = {latency} }};",
            *_tensors(graph),
            "struct element { uint32_t offset, width; int is_signed; };",
            _elements("input_elements", inputs),
            _elements("output_elements", outputs),
            "",
        ]
    )


def stream_layout(graph: IntegerGraph, *, in_width: int, out_width: int, out_signed: bool, order: list[int]) -> str:
    """`layout.h` of a design with ports of one element a cycle.

    Args:
        graph: the network, of one input and one output.
        in_width: bits of `in_data`.
        out_width: bits of `out_data`.
        out_signed: whether they are two's complement.
        order: which element of the output each result is.
    """
    return "\n".join(
        [
            "#define STREAM 1",
            *_weights(None),
            f"enum {{ IN_WIDTH = {in_width}, OUT_WIDTH = {out_width}, OUT_SIGNED = {int(out_signed)} }};",
            *_tensors(graph),
            _array("uint32_t", "output_order", order),
            "",
        ]
    )


def netlist_tables(netlist: Netlist, delays: Mapping[str, int] | None = None) -> str:
    """`netlist.h`: every cell as a row of a table.

    Args:
        netlist: the cells.
        delays: of each kind of cell, in steps of the simulation; None for gates that take no time.
    """
    sources = _Sources()
    known = delays or {}
    gates = [
        f"{{{g.table}ull, {sources.reserve(g.inputs)}, {g.output}, {len(g.inputs)}, {known.get(g.cell, 0)}}}"
        for g in netlist.gates
    ]
    registers = [f"{{{f.data}, {f.output}, {f.initial}}}" for f in netlist.flip_flops]
    memories = _Memories()
    for memory in netlist.memories:
        memories.append(memory, sources)
    counts = {
        "NETS": netlist.nets,
        "ONE_NET": ONE,
        "GATES": len(gates),
        "FLIP_FLOPS": len(registers),
        "MEMORIES": len(memories.rows),
        "READS": len(memories.reads),
        "WRITES": len(memories.writes),
        "READ_BITS": memories.read_bits,
    }
    return "\n".join(
        [
            '#include "layout.h"',
            f"#define TIMED {int(delays is not None)}",
            "enum { " + ", ".join(f"{name} = {value}" for name, value in counts.items()) + " };",
            "struct gate { uint64_t table; uint32_t first, output; int inputs, delay; };",
            "struct flip_flop { uint32_t data, output; int initial; };",
            _array("uint32_t", "sources", sources.nets),
            _array("struct gate", "gates", gates),
            _array("struct flip_flop", "flip_flops", registers),
            *memories.tables(),
            *_ports(netlist),
            "",
        ]
    )


@dataclass(frozen=True)
class _Sources:
    """Lists of nets one behind the other; a row of a table knows its own by where it begins."""

    nets: list[int] = field(default_factory=list)

    def reserve(self, nets: Iterable[int]) -> int:
        """Append a list; returns where it begins."""
        start = len(self.nets)
        self.nets.extend(nets)
        return start


@dataclass
class _Memories:
    """Rows of the memories and of their ports, the bits they begin with, and how many bits their reads hold."""

    rows: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    read_bits: int = 0

    def append(self, memory: Memory, sources: _Sources) -> None:
        number = len(self.rows)
        self.bits += [0] * (-len(self.bits) % 8)
        self.rows.append(f"{{{len(self.bits) // 8}, {memory.words}, {memory.width}, {memory.address_bits}}}")
        self.bits += memory.contents
        for address, data in memory.reads:
            row = f"{{{number}, {sources.reserve(address)}, {sources.reserve(data)}, {self.read_bits}}}"
            self.reads.append(row)
            self.read_bits += memory.width
        for address, data, enable in memory.writes:
            places = (sources.reserve(nets) for nets in (address, data, enable))
            self.writes.append(f"{{{number}, {', '.join(map(str, places))}}}")

    def tables(self) -> list[str]:
        packed = np.packbits(np.array(self.bits, np.uint8), bitorder="little").tolist()
        return [
            "struct memory { uint32_t first, words, width, address_bits; };",
            "struct memory_read { uint32_t memory, address, data, held; };",
            "struct memory_write { uint32_t memory, address, data, enable; };",
            _array("struct memory", "memories", self.rows),
            _array("struct memory_read", "memory_reads", self.reads),
            _array("struct memory_write", "memory_writes", self.writes),
            _array("uint8_t", "memory_bits", packed),
        ]


def _ports(netlist: Netlist) -> list[str]:
    given, made = ("x", "y") if "x" in netlist.ports else ("in_data", "out_data")
    controls = [
        f"{name.upper()}_NET = {nets[0]}" for name, nets in netlist.ports.items() if name not in ("clk", given, made)
    ]
    return [
        f"enum {{ {', '.join(controls)} }};" if controls else "",
        _array("uint32_t", "input_bits", netlist.ports[given]),
        _array("uint32_t", "output_bits", netlist.ports[made]),
    ]


def _weights(loaded: LoadedWeights | None) -> list[str]:
    if loaded is None:
        return ["#define WEIGHTS 0", "#define WEIGHT_IMAGE NULL", "#define WEIGHT_BYTES 0"]
    return [
        "#define WEIGHTS 1",
        "#define WEIGHT_IMAGE weight_image",
        "#define WEIGHT_BYTES sizeof weight_image",
        f"enum {{ DEVICE = {loaded.device} }};",
        _array("unsigned char", "weight_image", loaded.image),
    ]


def _tensors(graph: IntegerGraph) -> list[str]:
    lines = [
        "struct tensor { char kind; int bytes; size_t elements, scale_count; const double *scales;"
        " int64_t low, high, zero_point; };"
    ]
    for role, borders in (("input", graph.inputs), ("output", graph.outputs)):
        for number, border in enumerate(borders):
            scales = [float(scale).hex() for scale in border.scale]
            lines.append(_array("double", f"{role}_scales{number}", scales))
        rows = [_tensor(graph, border, f"{role}_scales{number}") for number, border in enumerate(borders)]
        lines.append(_array("struct tensor", f"{role}_tensors", rows))
        lines.append(f"enum {{ {role.upper()}S = {len(borders)} }};")
    return lines


def _tensor(graph: IntegerGraph, border: Border, scales: str) -> str:
    source = graph.operations[border.value]
    low, high = (source.low, source.high) if isinstance(source, Input) else (0, 0)
    size = np.dtype(border.dtype).itemsize
    kind = _KINDS[border.dtype]
    return f"{{'{kind}', {size}, {source.size}, {len(border.scale)}, {scales}, {low}, {high}, {border.zero_point}}}"


def _elements(name: str, buses: tuple[Packing, ...]) -> str:
    rows, base = [], 0
    for bus in buses:
        for element, (offset, width) in enumerate(zip(bus.offsets, bus.widths, strict=False)):
            rows.append(f"{{{base + offset}, {width}, {int(bus.signed(element))}}}")
        base += bus.bits
    return _array("struct element", name, rows)


def _array(kind: str, name: str, rows: Iterable[object]) -> str:
    """A constant array; one with a zero if there are no rows, for C has no empty ones."""
    texts = [str(row) for row in rows] or ["{0}" if kind.startswith("struct") else "0"]
    lines = [", ".join(texts[at : at + _PER_LINE]) for at in range(0, len(texts), _PER_LINE)]
    return f"static const {kind} {name}[] = {{\n" + ",\n".join(lines) + "\n};"
