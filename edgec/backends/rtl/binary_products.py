"""Products of bits with a matrix of −1 and +1 as logic: one sum of bits with signs a channel, alone or along a tree.

With bits b for the signs of an input and w for those of a channel, the channel sums s = Σ w b: by the bits with the
weight +1, less those with −1. Along a tree (`edgec.graph.spanning_tree`) with the weights D that differ from the
parent's (or from its complement's), and the parent's sum s_i:

    s = ± s_i + 2 Σ_D w b

Sums are kept as v with s = v − o, or s = o − v behind complements, modulo a power of two, so that a level only adds and
takes away bits: constants stay symbols until the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.backends.rtl.bit_sums import BitSums, bit_sums
from edgec.backends.rtl.constant_products import Port, ProductModule, product_module
from edgec.backends.rtl.integer_graph import Integers, Interval, bits_of
from edgec.backends.rtl.packing import literal, resized
from edgec.graph.spanning_tree import Signs, SpanningTree, spanning_tree


@dataclass(frozen=True)
class _Sum:
    """A sum s of bits with signs: `s = sign * (bits − offset)` modulo 2**width.

    Attributes:
        bits: names of single wires, the lowest first.
        sign: 1 or −1.
        offset: the constant.
    """

    bits: tuple[str, ...]
    sign: int
    offset: int


def sign_products(
    name: str, weights: Integers, bias: Integers, delay: int, lookup_inputs: int | None, *, triple: bool = False
) -> ProductModule:
    """The Verilog of `bias + x @ weights` for −1 and +1 on both sides, with the fewest adders of three designs.

    They are a sum for each channel, sums along a spanning tree, and da4ml's optimiser. The first two have no registers
    in three copies.

    Args:
        name: of the module.
        weights: int64 [N, K] of −1 and +1.
        bias: int64 [K].
        delay: adders that a signal may pass in one clock cycle; da4ml's design keeps to it.
        lookup_inputs: of a look-up table, which has a carry chain; None for standard cells.
        triple: three copies of each register, and votes.

    Returns:
        A module that reads bits of signs.
    """
    constant = bias - weights.sum(axis=0)
    zero, one = np.zeros(len(weights), np.int64), np.ones(len(weights), np.int64)
    shared = product_module(name, 2 * weights, constant, Interval(zero, one), delay, triple=triple)
    designs = [replace(shared, of_signs=True)]
    if not triple:
        signs = np.ascontiguousarray(weights.T, np.int8)
        trees = (None, spanning_tree(signs))
        designs += [_signed_sums(name, signs, constant, tree, lookup_inputs) for tree in trees]
    return min(designs, key=lambda module: module.adders if lookup_inputs is None else module.sum_bits)


def _signed_sums(
    name: str, signs: Signs, constant: Integers, tree: SpanningTree | None, lookup_inputs: int | None
) -> ProductModule:
    """`constant + 2 * (b @ signs.T)`: the lowest bit is known."""
    summed = summing_module(name, signs, constant >> 1, tree, lookup_inputs)
    outputs = tuple(
        replace(port, shift=1, below=int(each)) for port, each in zip(summed.outputs, constant & 1, strict=True)
    )
    return replace(summed, outputs=outputs, of_signs=True)


def summing_module(
    name: str,
    signs: Signs,
    bias: Integers,
    tree: SpanningTree | None,
    lookup_inputs: int | None = 4,
    *,
    pipelined: bool = True,
) -> ProductModule:
    """The Verilog of `bias + b @ signs.T` for bits b.

    Args:
        name: of the module.
        signs: int8 [K, N] of −1 and +1.
        bias: int64 [K].
        tree: over the channels; None for a count of its own for each.
        lookup_inputs: of a look-up table, which has a carry chain; None for standard cells.
        pipelined: whether registers follow each level of the tree, and the output; else it is combinational.

    Returns:
        A module as `constant_products.product_module` writes.
    """
    count = signs.shape[1]
    negatives = (signs < 0).sum(axis=1).tolist()
    width = max(bits_of(-each, count - each) for each in negatives)
    logic = bit_sums(lookup_inputs)
    x = tuple(f"model_inp[{n}]" for n in range(count))
    if tree is None:
        sums = [_alone(logic, x, row, width) for row in signs]
        depth = 0
    else:
        sums = _along_tree(logic, x, signs, tree, width, pipelined=pipelined)
        depth = tree.depth
    ports, results = [], []
    for channel, (found, below, offset) in enumerate(zip(sums, negatives, bias.tolist(), strict=True)):
        low = offset - below
        ports.append(Port(bits_of(low, low + count), low < 0, 0))
        results.append(_output(logic, channel, found, ports[-1].width, offset, signed=below > 0))
    total = sum(port.width for port in ports)
    outputs = f"{{{', '.join(reversed(results))}}}"
    logic.lines.append(f"wire [{total - 1}:0] sums = {outputs};")
    if pipelined:
        logic.lines += [f"reg [{total - 1}:0] held;", "always @(posedge clk) held <= sums;"]
    head = [f"module {name} (", "    input clk,", f"    input [{count - 1}:0] model_inp,"]
    head += [f"    output [{total - 1}:0] model_out", ");"]
    tail = [f"    assign model_out = {'held' if pipelined else 'sums'};", "endmodule", ""]
    text = "\n".join([*head, *(f"    {line}" for line in logic.lines), *tail])
    latency = depth + 1 if pipelined else 0
    cost = logic.cost + total
    return ProductModule(name, {name: text}, tuple(ports), latency, adders=float(cost), sum_bits=cost)


def _along_tree(
    logic: BitSums, x: tuple[str, ...], signs: Signs, tree: SpanningTree, width: int, *, pipelined: bool
) -> list[_Sum]:
    """Sums of all channels, level by level; with registers all are those of the last level's cycle."""
    sums: dict[int, _Sum] = {}
    differences = tree.differences(signs)
    for level in range(tree.depth + 1):
        if level and pipelined:
            sums = {channel: replace(held, bits=logic.register(held.bits)) for channel, held in sums.items()}
            later = np.flatnonzero(differences[tree.levels >= level].any(axis=0))
            kept = dict(zip(later.tolist(), logic.register([x[n] for n in later]), strict=True))
            x = tuple(kept.get(n, "") for n in range(len(x)))
        for channel in np.flatnonzero(tree.levels == level).tolist():
            parent = int(tree.parents[channel])
            if parent < 0:
                sums[channel] = _alone(logic, x, signs[channel], width)
                continue
            differing = np.where(differences[channel], signs[channel], 0)
            sums[channel] = _follow(logic, sums[parent], x, differing, width, inverted=bool(tree.inverted[channel]))
    return [sums[channel] for channel in range(len(signs))]


def _alone(logic: BitSums, x: tuple[str, ...], signs: Signs, width: int) -> _Sum:
    bits, offset = logic.add((), _read(x, signs > 0), _read(x, signs < 0), width)
    return _Sum(bits, 1, offset)


def _follow(logic: BitSums, parent: _Sum, x: tuple[str, ...], differing: Signs, width: int, *, inverted: bool) -> _Sum:
    """The sum of a channel from its parent's, and from twice the bits of its weights that differ; the others are 0."""
    sign = -parent.sign if inverted else parent.sign
    if width == 1 or not differing.any():
        return replace(parent, sign=sign)
    added, taken = _read(x, sign * differing > 0), _read(x, sign * differing < 0)
    higher, offset = logic.add(parent.bits[1:], added, taken, width - 1)
    return _Sum((parent.bits[0], *higher), sign, parent.offset + 2 * offset)


def _read(x: tuple[str, ...], places: np.ndarray) -> list[str]:
    return [x[n] for n in np.flatnonzero(places).tolist()]


def _output(logic: BitSums, channel: int, found: _Sum, out: int, bias: int, *, signed: bool) -> str:
    """The sum with a bias, of `out` bits, in one adder where these are no more than the sum's."""
    width, held, total = len(found.bits), f"v{channel}", f"a{channel}"
    logic.lines.append(f"wire [{width - 1}:0] {held} = {{{', '.join(reversed(found.bits))}}};")
    if out > width:
        whole, plain = f"p{channel}", _Sum((), 1, 0)
        logic.lines.append(f"wire [{width - 1}:0] {whole} = {_biased(held, found, width, 0)};")
        wide = _biased(resized(f"{whole}[{width - 1}:0]", width, out, signed=signed), plain, out, bias)
    else:
        wide = _biased(f"{held}[{out - 1}:0]", found, out, bias)
    logic.lines.append(f"wire [{out - 1}:0] {total} = {wide};")
    return total


def _biased(bits: str, found: _Sum, width: int, bias: int) -> str:
    """An expression for the sum and a bias modulo 2**width, from the sum's bits."""
    constant = bias - found.sign * found.offset
    if found.sign < 0:
        return f"{literal(constant, width)} - {bits}"
    return f"{bits} + {literal(constant, width)}" if constant else bits
