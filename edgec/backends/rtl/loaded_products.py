"""The Verilog of products whose weights are in registers that are written over I2C."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgec.backends.rtl.integer_graph import Affine, IntegerGraph, bits_of
from edgec.backends.rtl.packing import Packing, literal, resized
from edgec.backends.rtl.registers import hardware_source
from edgec.backends.rtl.unrolled import Design, DesignText, write_constant_products, write_design
from edgec.backends.rtl.weight_registers import LoadedAffine, held_by

_MOST_TERMS = 16
"""Terms that are summed in one module."""

_PORTS = ("    input scl,", "    input sda,", "    output sda_low,")


def _bits(bus: str, index: int, width: int) -> str:
    return f"{bus}[{(index + 1) * width - 1}:{index * width}]"


@dataclass(frozen=True)
class _Sum:
    """`bias + sum x[k] * w[k]`; sums with equal operands share a module.

    Attributes:
        operands: bits of each x, and whether it is signed.
        weight: bits of each w.
        bias: bits of the bias; 0 where there is none.
        out: bits of the sum.
    """

    operands: tuple[tuple[int, bool], ...]
    weight: int
    bias: int
    out: int

    def parts(self) -> tuple[_Sum, ...]:
        """The same as sums of at most `_MOST_TERMS` terms, which leave the bias to be added."""
        chunks = [self.operands[at : at + _MOST_TERMS] for at in range(0, len(self.operands), _MOST_TERMS)]
        return tuple(_Sum(chunk, self.weight, 0, min(self.out, self._bits(chunk))) for chunk in chunks)

    def _bits(self, operands: tuple[tuple[int, bool], ...]) -> int:
        largest = sum(1 << (width - signed + self.weight - 1) for width, signed in operands)
        return bits_of(-largest, largest)

    def ports(self) -> list[str]:
        """Declarations of the module's ports."""
        return [
            f"    input [{sum(width for width, _ in self.operands) - 1}:0] x,",
            f"    input [{len(self.operands) * self.weight - 1}:0] w,",
            *([f"    input [{self.bias - 1}:0] bias,"] if self.bias else []),
            f"    output signed [{self.out - 1}:0] sum",
        ]


@dataclass
class _Sums:
    """Modules of sums, by what they compute."""

    network: str
    names: dict[_Sum, str] = field(default_factory=dict)

    def module(self, text: DesignText, wanted: _Sum) -> str:
        """The name of a module, which is written when it is wanted first."""
        if wanted not in self.names:
            name = self.names[wanted] = f"{self.network}_sum{len(self.names)}"
            whole = len(wanted.operands) <= _MOST_TERMS
            body = _one_expression(wanted) if whole else self._sum_of_sums(text, wanted)
            text.files[f"{name}.v"] = "\n".join([f"module {name} (", *wanted.ports(), ");", *body, "endmodule", ""])
        return self.names[wanted]

    def _sum_of_sums(self, text: DesignText, wanted: _Sum) -> list[str]:
        """Synthesis is slow on large modules, and these are alike."""
        lines, x_at, w_at = [], 0, 0
        names = []
        for number, part in enumerate(wanted.parts()):
            x_end = x_at + sum(width for width, _ in part.operands)
            w_end = w_at + len(part.operands) * part.weight
            lines += [
                f"    wire signed [{part.out - 1}:0] part{number};",
                f"    {self.module(text, part)} sum{number}"
                f" (.x(x[{x_end - 1}:{x_at}]), .w(w[{w_end - 1}:{w_at}]), .sum(part{number}));",
            ]
            names.append(f"part{number}")
            x_at, w_at = x_end, w_end
        bias = [f"$signed(bias[{wanted.bias - 1}:0])"] if wanted.bias else []
        return [*lines, f"    assign sum = {' + '.join([*bias, *names])};"]


def _one_expression(wanted: _Sum) -> list[str]:
    """Of a single expression synthesis makes one tree of adders."""
    products = [f"$signed(bias[{wanted.bias - 1}:0])"] if wanted.bias else []
    at = 0
    for number, (width, signed) in enumerate(wanted.operands):
        operand = f"x[{at + width - 1}:{at}]"
        operand = f"$signed({operand})" if signed else f"$signed({{1'b0, {operand}}})"
        products.append(f"{operand} * $signed({_bits('w', number, wanted.weight)})")
        at += width
    written = "\n        + ".join(products)
    return [f"    assign sum = {written};"]


@dataclass
class _Products:
    """Writes products with weights from registers.

    Attributes:
        copies: of each register.
        sums: modules of sums.
        registers: number of bytes so far, which is the address of the next one.
    """

    copies: int
    sums: _Sums
    registers: int = 0

    def __call__(self, text: DesignText, operation: Affine, source: Packing, bus: Packing) -> int:
        """Registers of the weights and biases, and a sum of products for each element of the result."""
        if not isinstance(operation, LoadedAffine):
            return write_constant_products(text, operation, source, bus)
        weights, biases = (
            self._registers(text, f"{bus.name}_{holds}", values.size, bits)
            for holds, values, bits in held_by(operation)
        )
        text.lines.append(f"wire [{bus.bits - 1}:0] {bus.name};")
        for group, positions in enumerate(operation.reads):
            for position, reads in enumerate(positions):
                for channel, element in enumerate(operation.place[group, position].tolist()):
                    bias = _bits(biases, group * operation.bias.shape[1] + channel, operation.bias_bits)
                    used = _used_weights(operation, group, channel, reads.tolist())
                    if used:
                        self._sum(text, operation, source, used, weights, bias, bus, element)
                    else:
                        value = resized(bias, operation.bias_bits, bus.widths[element], signed=True)
                        text.lines.append(f"assign {bus.slice(element)} = {value};")
        return 0

    def _sum(
        self,
        text: DesignText,
        operation: LoadedAffine,
        source: Packing,
        used: list[tuple[int, int]],
        weights: str,
        bias: str,
        bus: Packing,
        element: int,
    ) -> None:
        """An instance that sums the products of elements and weights, by their numbers, and the bias."""
        formats = tuple((source.widths[each], source.signed(each)) for each, _ in used)
        wanted = _Sum(formats, operation.weight_bits, operation.bias_bits, bus.widths[element])
        x = ", ".join(source.slice(each) for each, _ in reversed(used))
        w = ", ".join(_bits(weights, weight, operation.weight_bits) for _, weight in reversed(used))
        text.lines.append(
            f"{self.sums.module(text, wanted)} {bus.name}_s{element}"
            f" (.x({{{x}}}), .w({{{w}}}), .bias({bias}), .sum({bus.slice(element)}));"
        )

    def _registers(self, text: DesignText, name: str, count: int, bits: int) -> str:
        text.lines.append(f"wire [{count * bits - 1}:0] {name};")
        for value in range(count):
            for low in range(0, bits, 8):
                width = min(8, bits - low)
                address, at = self.registers, value * bits + low
                self.registers += 1
                text.lines.append(
                    f"edgec_weight #(.WIDTH({width}), .COPIES({self.copies})) byte{address} (.clk(clk),"
                    f" .write(write & address == 16'd{address}), .data(data[{width - 1}:0]),"
                    f" .q({name}[{at + width - 1}:{at}]));"
                )
        return name


def _used_weights(operation: Affine, group: int, channel: int, reads: list[int]) -> list[tuple[int, int]]:
    """Element and weight of each product of a sum; padding has none."""
    _, terms, channels = operation.weights.shape
    return [(read, (group * terms + term) * channels + channel) for term, read in enumerate(reads) if read >= 0]


def unroll_with_registers(graph: IntegerGraph, name: str, delay: int, device: int, *, triple: bool) -> Design:
    """The Verilog of a network whose weights are written over I2C.

    Args:
        graph: the network, `with_loaded_weights`.
        name: of the module.
        delay: adders that a signal may pass in one clock cycle, where sums have constant weights.
        device: address on the bus, of 7 bits.
        triple: three copies of each register, and votes.

    Raises:
        EdgecError: EC1101 where a value would be too wide for some weights.
    """
    copies = 3 if triple else 1
    text = DesignText(name, delay, triple, ports=list(_PORTS))
    text.files = {f"{name}_{file}": hardware_source(file) for file in ("registers.v", "i2c.v")}
    text.lines += [
        "wire write;",
        "wire [15:0] address;",
        "wire [7:0] data;",
        f"edgec_i2c #(.DEVICE({literal(device, 7)}), .COPIES({copies})) bus (.clk(clk), .scl(scl), .sda(sda),"
        " .sda_low(sda_low), .write(write), .address(address), .data(data));",
    ]
    return write_design(graph, text, _Products(copies, _Sums(name)))
