"""Verilog of what happens to single elements: rounding, saturation, sums of two, largest of some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.backends.rtl.integer_graph import Clamped, Largest, Operation, Requantised, Sum, bits_of
from edgec.backends.rtl.packing import Packing, literal
from edgec.backends.rtl.signs import Sign


def element_lines(
    operation: Operation, element: int, inputs: tuple[Packing, ...], output: str, width: int
) -> list[str]:
    """Statements that compute one element of an elementwise operation.

    Args:
        operation: `Requantised`, `Clamped`, `Sign`, `Sum` or `Largest`.
        element: which element.
        inputs: buses of the sources.
        output: where the result goes, a slice of a bus.
        width: bits of the result, enough for its range.
    """
    unique = f"{output.partition('[')[0]}_{element}"
    match operation:
        case Requantised():
            return _requantised(operation, element, inputs[0], unique, output, width)
        case Clamped():
            source = inputs[0]
            low, high = int(source.interval.low[element]), int(source.interval.high[element])
            lines = [f"wire signed [{source.widths[element]}:0] {unique}_x = {_signed(source, element)};"]
            limits = _saturated(
                f"{unique}_x", source.widths[element] + 1, low, high, operation.low, operation.high, width
            )
            return [*lines, f"assign {output} = {limits};"]
        case Sign():
            negative = f"{_signed(inputs[0], element)} < 0"
            return [f"assign {output} = ({negative}) ? {literal(-1, width)} : {literal(1, width)};"]
        case Sum():
            left, right = (
                f"({_sign_extended(source, element, width + 1)} * {literal(factor, width + 1)})"
                if factor & (factor - 1)
                else f"({_sign_extended(source, element, width + 1)} << {factor.bit_length() - 1})"
                for source, factor in zip(inputs, operation.factors, strict=True)
            )
            return [
                f"wire [{width}:0] {unique}_sum = {left} + {right};",
                f"assign {output} = {unique}_sum[{width - 1}:0];",
            ]
        case Largest():
            return _largest(operation, element, inputs[0], unique, output, width)
        case _:
            raise TypeError(f"{operation.op} is not elementwise")


def _requantised(
    operation: Requantised, element: int, source: Packing, unique: str, output: str, width: int
) -> list[str]:
    multiplier = int(operation.multiplier[element % len(operation.multiplier)])
    low, high = (int(bound[element]) * multiplier for bound in (source.interval.low, source.interval.high))
    bits = max(bits_of(min(low, 0), max(high, 0)) + 1, operation.shift + 2)
    operand = _sign_extended(source, element, bits)
    if multiplier & (multiplier - 1):
        product = f"{operand} * {literal(multiplier, bits)}"
    else:
        product = f"{operand} << {multiplier.bit_length() - 1}"
    lines = [f"wire signed [{bits - 1}:0] {unique}_p = {product};"]
    rounded_bits = bits - operation.shift + 1
    rounded = _rounded(operation, f"{unique}_p", bits)
    lines.append(f"wire signed [{rounded_bits - 1}:0] {unique}_r = {rounded};")
    edge = np.array([[int(source.interval.low[element])], [int(source.interval.high[element])]])
    free = replace(operation, multiplier=np.array([multiplier]), low=-_ANY, high=_ANY)
    smallest, largest = (int(value) for value in free.evaluate([edge])[:, 0])
    limits = _saturated(f"{unique}_r", rounded_bits, smallest, largest, operation.low, operation.high, width)
    return [*lines, f"assign {output} = {limits};"]


_ANY = 1 << 62


def _rounded(operation: Requantised, product: str, bits: int) -> str:
    """A product of some bits without its fraction, one bit wider than its whole part."""
    sign, shift = f"{product}[{bits - 1}]", operation.shift
    if not operation.half_even or shift == 0:
        return f"{{{sign}, {product}[{bits - 1}:{shift}]}}"
    if operation.raised:
        # The half is in the product: a tie cuts off zeros only, and becomes even by its last bit.
        last = f"({product}[{shift}] & (|{product}[{shift - 1}:0]))"
        return f"{{{sign}, {product}[{bits - 1}:{shift + 1}], {last}}}"
    return f"{{{sign}, {product}[{bits - 1}:{shift}]}} + {_carry(product, shift)}"


def _carry(product: str, shift: int) -> str:
    """What rounding half to even adds after the cut: the half is set, and something below it or the last bit kept."""
    if shift == 1:
        return f"({product}[0] & {product}[1])"
    return f"({product}[{shift - 1}] & ((|{product}[{shift - 2}:0]) | {product}[{shift}]))"


def _saturated(name: str, bits: int, smallest: int, largest: int, low: int, high: int, width: int) -> str:
    """A signed value cut to limits; a limit that its range never reaches costs nothing."""
    kept = f"{name}[{width - 1}:0]" if width <= bits else f"{{{{{width - bits}{{{name}[{bits - 1}]}}}}, {name}}}"
    expression = kept
    if largest > high:
        expression = f"{_above(name, bits, high)} ? {literal(high, width)} : {expression}"
    if smallest < low:
        expression = f"{_below(name, bits, low)} ? {literal(low, width)} : ({expression})"
    return expression


def _above(name: str, bits: int, high: int) -> str:
    """Whether a signed value exceeds a limit; a row of bits where the limit is 2^n - 1."""
    if high >= 0 and high & (high + 1) == 0:
        lowest = high.bit_length()
        return f"(~{name}[{bits - 1}] & (|{name}[{bits - 1}:{lowest}]))"
    return f"({name} > $signed({literal(high, bits)}))"


def _below(name: str, bits: int, low: int) -> str:
    """Whether a signed value falls below a limit; a row of bits where the limit is 0 or -2^n."""
    if low == 0:
        return f"{name}[{bits - 1}]"
    if low < 0 and (-low) & (-low - 1) == 0:
        lowest = (-low).bit_length() - 1
        return f"({name}[{bits - 1}] & ~(&{name}[{bits - 1}:{lowest}]))"
    return f"({name} < $signed({literal(low, bits)}))"


def _largest(operation: Largest, element: int, source: Packing, unique: str, output: str, width: int) -> list[str]:
    reads = list(dict.fromkeys(operation.reads[element].tolist()))
    bits = max(source.widths[read] for read in reads) + 1
    lines = [f"wire signed [{bits - 1}:0] {unique}_m0 = {source.extended(reads[0], bits)};"]
    for step, read in enumerate(reads[1:]):
        lines.append(f"wire signed [{bits - 1}:0] {unique}_x{step} = {source.extended(read, bits)};")
        lines.append(
            f"wire signed [{bits - 1}:0] {unique}_m{step + 1} = "
            f"({unique}_x{step} > {unique}_m{step}) ? {unique}_x{step} : {unique}_m{step};"
        )
    return [*lines, f"assign {output} = {unique}_m{len(reads) - 1}[{width - 1}:0];"]


def _signed(source: Packing, element: int) -> str:
    return _sign_extended(source, element, source.widths[element] + 1)


def _sign_extended(source: Packing, element: int, width: int) -> str:
    return f"$signed({source.extended(element, width)})"
