"""The Verilog of a folded network: a buffer for each thing that an engine reads, its tables, and the engine."""

from __future__ import annotations

import numpy as np

from edgec.backends.rtl.elementwise import element_lines
from edgec.backends.rtl.folded_stages import Stage
from edgec.backends.rtl.integer_graph import (
    Affine,
    Clamped,
    IntegerGraph,
    Integers,
    Interval,
    Largest,
    Operation,
    Requantised,
    Sum,
    bits_of,
)
from edgec.backends.rtl.packing import Packing
from edgec.backends.rtl.signs import Sign
from edgec.core.codes.hardware import DOES_NOT_FIT
from edgec.core.errors import EdgecError

_MOST_LANES = 8
_PRODUCTS, _LARGEST, _SUM = 0, 1, 2


class FoldedText:
    """Writes the top module of a folded network.

    Args:
        graph: the network.
        stages: its engines; the first is the input.
        intervals: bounds of its values.
        symbol: name of the module.

    Attributes:
        tables: hexadecimal contents of the read-only memories, by file name.
        memory_bits: bits of all memories.
    """

    def __init__(
        self, graph: IntegerGraph, stages: tuple[Stage, ...], intervals: tuple[Interval, ...], symbol: str
    ) -> None:
        self._graph, self._stages, self._intervals, self._symbol = graph, stages, intervals, symbol
        self._lines: list[str] = []
        self.tables: dict[str, str] = {}
        self.memory_bits = 0

    def write(self) -> None:
        """Write every engine.

        Raises:
            EdgecError: EC1102 for channels with scales of their own.
        """
        for number, stage in enumerate(self._stages[1:], start=1):
            self._engine(number, stage)

    def verilog(self) -> str:
        """The file of the top module."""
        first, last = (self._intervals[self._stages[at].value] for at in (0, -1))
        end = len(self._stages) - 1
        lines = [
            f"module {self._symbol} (",
            "    input clk,",
            "    input reset,",
            "    input in_valid,",
            "    output in_ready,",
            f"    input [{first.bits - 1}:0] in_data,",
            "    output out_valid,",
            "    input out_ready,",
            f"    output [{last.bits - 1}:0] out_data",
            ");",
            f"    wire [{first.bits - 1}:0] data0 = in_data;",
            "    wire valid0 = in_valid & take0;",
            f"    wire take0 = {self._taken(0)};",
            "    assign in_ready = take0;",
            *(f"    {line}" for line in self._lines),
            f"    assign out_valid = valid{end};",
            f"    assign out_data = data{end};",
            "endmodule",
            "",
        ]
        return "\n".join(lines)

    def _taken(self, number: int) -> str:
        """Whether every reader of a stage takes an element."""
        readers = [
            f"ready{reader}_{port}"
            for reader, stage in enumerate(self._stages)
            for port, source in enumerate(stage.sources)
            if source == number
        ]
        return " & ".join(readers) or "out_ready"

    def _engine(self, number: int, stage: Stage) -> None:
        raw = self._intervals[self._graph.operations.index(stage.operation)]
        source = [self._intervals[self._stages[at].value] for at in stage.sources]
        kind, factors = _kind(stage.operation)
        lanes, blocks, positions, terms = _folding(stage)
        low, high = int(raw.low.min()), int(raw.high.max())
        if kind == _LARGEST:
            low, high = int(source[0].low.min()), int(source[0].high.max())
        raw_bits = bits_of(min(low, -1), high)
        if kind == _SUM:
            raw_bits += 1
        weight_bits = self._constants(number, stage, lanes, raw_bits)
        for port, (interval, reads) in enumerate(zip(source, stage.reads, strict=True)):
            self._buffer(number, port, stage.sources[port], interval, reads)
        self._finish(number, stage, Interval(np.array([low]), np.array([high])), raw_bits, kind)
        parameters = {
            "KIND": kind,
            "ITEMS": len(stage.reads[0]) * blocks,
            "TERMS": terms,
            "TERM_BITS": max(1, terms.bit_length()),
            "LANES": lanes,
            "LANE_BITS": max(1, lanes.bit_length()),
            "BLOCKS": blocks,
            "POSITIONS": positions,
            "DATA_BITS": source[0].bits + 1,
            "SECOND_BITS": source[-1].bits + 1,
            "WEIGHT_BITS": weight_bits,
            "RAW_BITS": raw_bits,
            "FACTOR": factors[0],
            "SECOND_FACTOR": factors[1],
        }
        written = ", ".join(f".{name}({value})" for name, value in parameters.items())
        full = " & ".join(f"full{number}_{port}" for port in range(len(source)))
        self._lines += [
            f"wire valid{number}, free{number}, take{number} = {self._taken(number)};",
            f"edgec_engine #({written}) engine{number} (",
            f"    .clk(clk), .reset(reset), .full({full}), .free(free{number}), .table_index(index{number}),",
            f"    .weight_index(weight_index{number}), .bias_index(bias_index{number}), .data(term{number}_0),",
            f"    .second(term{number}_{len(source) - 1}), .weights(weights{number}), .biases(biases{number}),",
            f"    .valid(valid{number}), .take(take{number}), .raw(raw{number}));",
        ]

    def _buffer(self, number: int, port: int, source: int, interval: Interval, reads: Integers) -> None:
        """A buffer, the table of what is read from it, and a mask for what hangs over the border."""
        words, bits = len(interval.low), interval.bits
        address_bits = max(1, (words - 1).bit_length())
        this = f"{number}_{port}"
        flat = reads.ravel()
        sign = f"word{this}[{bits - 1}]" if interval.signed else "1'b0"
        self.memory_bits += words * bits
        if (flat == np.arange(len(flat))).all():
            lookup = [
                f"reg [{address_bits}:0] place{this};",
                f"always @(posedge clk) place{this} <= index{number}[{address_bits}:0];",
            ]
            zero = [f"wire zero{this} = 1'b0;"]
        else:
            marked = np.where(flat < 0, 1 << address_bits, flat)
            lookup = self._table(f"place{this}", f"index{number}", marked.tolist(), address_bits + 1)
            zero = [f"reg zero{this};", f"always @(posedge clk) zero{this} <= place{this}[{address_bits}];"]
        self._lines += [
            f"wire ready{this}, full{this};",
            f"wire [{bits - 1}:0] word{this};",
            *lookup,
            *zero,
            f"edgec_buffer #(.WIDTH({bits}), .WORDS({words}), .ADDRESS_BITS({address_bits})) buffer{this} (",
            f"    .clk(clk), .reset(reset), .valid({self._offered(source)}), .ready(ready{this}), .data(data{source}),",
            f"    .full(full{this}), .free(free{number}), .word(word{this}),",
            f"    .address(place{this}[{address_bits - 1}:0]));",
            f"wire signed [{bits}:0] term{this} = zero{this} ? {bits + 1}'d0 : {{{sign}, word{this}}};",
        ]

    def _offered(self, source: int) -> str:
        return f"valid{source} & take{source}"

    def _constants(self, number: int, stage: Stage, lanes: int, raw_bits: int) -> int:
        """Tables of weights and biases; the bits of a weight."""
        declared = [f"wire [31:0] index{number}, weight_index{number}, bias_index{number};"]
        operation = stage.operation
        if not isinstance(operation, Affine):
            self._lines += [*declared, f"wire weights{number} = 1'b0;", f"wire [{raw_bits - 1}:0] biases{number} = 0;"]
            return 1
        groups, terms, channels = operation.weights.shape
        blocks = channels // lanes
        weight_bits = bits_of(min(int(operation.weights.min()), -1), int(operation.weights.max()))
        weights = operation.weights.reshape(groups, terms, blocks, lanes).transpose(0, 2, 1, 3).reshape(-1, lanes)
        biases = operation.bias.reshape(-1, lanes)
        self._lines += [
            *declared,
            *self._table(
                f"weights_read{number}", f"weight_index{number}", _words(weights, weight_bits), lanes * weight_bits
            ),
            f"reg [{lanes * weight_bits - 1}:0] weights{number};",
            f"always @(posedge clk) weights{number} <= weights_read{number};",
            *self._table(f"biases{number}", f"bias_index{number}", _words(biases, raw_bits), lanes * raw_bits),
        ]
        return weight_bits

    def _table(self, name: str, index: str, words: list[int], width: int) -> list[str]:
        """A read-only memory that follows an index by one cycle."""
        file = f"{self._symbol}_{name}.hex"
        self.tables[file] = "".join(f"{word:x}\n" for word in words)
        self.memory_bits += len(words) * width
        address_bits = max(1, (len(words) - 1).bit_length())
        return [
            f"wire [{width - 1}:0] {name};",
            f"edgec_table #(.WIDTH({width}), .WORDS({len(words)}), .ADDRESS_BITS({address_bits}),"
            f' .CONTENTS("verilog/{file}")) table_{name} (',
            f"    .clk(clk), .address({index}[{address_bits - 1}:0]), .word({name}));",
        ]

    def _finish(self, number: int, stage: Stage, raw: Interval, raw_bits: int, kind: int) -> None:
        """What happens to a single result before it goes on."""
        lines = [f"wire [{raw_bits - 1}:0] raw{number};"]
        bus = Packing(f"done{number}_0", raw)
        lines += [f"wire [{bus.bits - 1}:0] {bus.name} = raw{number}[{bus.bits - 1}:0];"]
        alone = (stage.operation,) if isinstance(stage.operation, Requantised | Clamped | Sign) else ()
        for at, operation in enumerate((*alone, *stage.after), start=1):
            single = _single(operation)
            following = Packing(f"done{number}_{at}", single.interval([bus.interval]))
            width = following.bits
            lines.append(f"wire [{width - 1}:0] {following.name};")
            lines += element_lines(single, 0, (bus,), following.slice(0), width)
            bus = following
        value = self._intervals[stage.value]
        sign = f"{bus.name}[{bus.bits - 1}]" if bus.signed(0) else "1'b0"
        missing = value.bits - bus.bits
        widened = f"{{{{{missing}{{{sign}}}}}, {bus.name}}}" if missing > 0 else f"{bus.name}[{value.bits - 1}:0]"
        self._lines += [*lines, f"wire [{value.bits - 1}:0] data{number} = {widened};"]


def _kind(operation: Operation) -> tuple[int, tuple[int, int]]:
    match operation:
        case Affine():
            return _PRODUCTS, (1, 1)
        case Sum():
            return _SUM, operation.factors
        case Largest() | Requantised() | Clamped() | Sign():
            return _LARGEST, (1, 1)
        case _:
            raise EdgecError(
                DOES_NOT_FIT, f"{operation.op} has no engine", where=operation.node, hint=DOES_NOT_FIT.remedy
            )


def _folding(stage: Stage) -> tuple[int, int, int, int]:
    """Lanes, blocks of lanes, positions a group, and terms."""
    operation = stage.operation
    if not isinstance(operation, Affine):
        return 1, 1, len(stage.reads[0]), stage.reads[0].shape[1]
    channels = operation.weights.shape[2]
    lanes = max(count for count in range(1, _MOST_LANES + 1) if channels % count == 0)
    return lanes, channels // lanes, operation.reads.shape[1], operation.reads.shape[2]


def _single(operation: Operation) -> Requantised | Clamped | Sign:
    """An elementwise operation for one element.

    Raises:
        EdgecError: EC1102 for channels with scales of their own.
    """
    match operation:
        case Requantised() if (operation.multiplier == operation.multiplier[0]).all():
            return Requantised(
                operation.node,
                operation.op,
                (0,),
                1,
                operation.multiplier[:1],
                operation.shift,
                operation.half_even,
                operation.low,
                operation.high,
            )
        case Clamped():
            return Clamped(operation.node, operation.op, (0,), 1, operation.low, operation.high)
        case Sign():
            return Sign(operation.node, operation.op, (0,), 1)
        case _:
            raise EdgecError(
                DOES_NOT_FIT,
                "folded engines scale all channels of a layer alike, and this one has scales by channel",
                where=operation.node,
                hint="quantise its weights with one scale a tensor",
            )


def _words(rows: Integers, bits: int) -> list[int]:
    """Each row as one word, the first element lowest."""
    mask = (1 << bits) - 1
    return [sum((value & mask) << (at * bits) for at, value in enumerate(row)) for row in rows.tolist()]
