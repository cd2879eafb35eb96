"""Products of bits with a matrix of −1 and +1 as logic: one count of matching bits a channel, alone or along a tree.

With bits b for the signs of an input and w for those of a channel, the channel counts matches p = popcount(b XNOR w); a
sum of the bits with signs is p less the number of −1. Along a tree (`edgec.graph.spanning_tree`) with d differing
weights, P matches among them, and the parent's count p_i (or N − p_i for a complement):

    p = p_i − d + 2 P

Counts are kept as v with p = v − o, or p = o − v behind complements, modulo a power of two above N, so that a level
only adds bits: constants stay symbols until the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.backends.rtl.bit_sums import BitSums, bit_sums
from edgec.backends.rtl.constant_products import Port, ProductModule, product_module
from edgec.backends.rtl.integer_graph import Integers, Interval, bits_of
from edgec.backends.rtl.packing import literal
from edgec.graph.spanning_tree import Signs, SpanningTree, spanning_tree


@dataclass(frozen=True)
class _Count:
    """A count of matches p: `p = sign * (bits − offset)` modulo 2**width.

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

    They are counts of matching bits for each channel, counts along a spanning tree, and da4ml's optimiser. Counts have
    no registers in three copies.

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
        designs += [_signed_counts(name, signs, constant, tree, lookup_inputs) for tree in trees]
    return min(designs, key=lambda module: module.adders if lookup_inputs is None else module.tables)


def _signed_counts(
    name: str, signs: Signs, constant: Integers, tree: SpanningTree | None, lookup_inputs: int | None
) -> ProductModule:
    """`constant + 2 * (b @ signs.T)`: the lowest bit is known."""
    counted = counting_module(name, signs, constant >> 1, tree, lookup_inputs)
    outputs = tuple(
        replace(port, shift=1, below=int(each)) for port, each in zip(counted.outputs, constant & 1, strict=True)
    )
    return replace(counted, outputs=outputs, of_signs=True)


def counting_module(
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
    width = count.bit_length()
    logic = bit_sums(lookup_inputs)
    x = tuple(f"model_inp[{n}]" for n in range(count))
    if tree is None:
        counts = [_Count(_matches(logic, x, row, np.arange(count), width), 1, 0) for row in signs]
        depth = 0
    else:
        counts = _along_tree(logic, x, signs, tree, width, pipelined=pipelined)
        depth = tree.depth
    ports, results = [], []
    for channel, found in enumerate(counts):
        negatives = int((signs[channel] < 0).sum())
        low = int(bias[channel]) - negatives
        port = Port(bits_of(low, low + count), low < 0, 0)
        results.append(_output(logic, channel, found, port.width, width, low))
        ports.append(port)
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
    return ProductModule(name, {name: text}, tuple(ports), latency, adders=float(cost), tables=cost)


def _along_tree(
    logic: BitSums, x: tuple[str, ...], signs: Signs, tree: SpanningTree, width: int, *, pipelined: bool
) -> list[_Count]:
    """Counts of all channels, level by level; with registers all are those of the last level's cycle."""
    counts: dict[int, _Count] = {}
    differences = tree.differences(signs)
    for level in range(tree.depth + 1):
        if level and pipelined:
            counts = {c: _Count(logic.register(held.bits), held.sign, held.offset) for c, held in counts.items()}
            later = np.flatnonzero(differences[tree.levels >= level].any(axis=0))
            kept = dict(zip(later.tolist(), logic.register([x[n] for n in later]), strict=True))
            x = tuple(kept.get(n, "") for n in range(len(x)))
        for channel in np.flatnonzero(tree.levels == level).tolist():
            places = np.flatnonzero(differences[channel])
            parent = int(tree.parents[channel])
            if parent < 0:
                counts[channel] = _Count(_matches(logic, x, signs[channel], places, width), 1, 0)
                continue
            counts[channel] = _follow(
                logic, counts[parent], x, signs[channel], places, width, inverted=bool(tree.inverted[channel])
            )
    return [counts[channel] for channel in range(len(signs))]


def _follow(
    logic: BitSums,
    parent: _Count,
    x: tuple[str, ...],
    signs: Signs,
    places: Integers,
    width: int,
    *,
    inverted: bool,
) -> _Count:
    """The count of a channel from its parent's: twice the matches, or mismatches, where they differ."""
    sign = -parent.sign if inverted else parent.sign
    whole = len(signs) if inverted else 0
    offset = parent.offset + len(places) - whole if sign > 0 else parent.offset + len(places) + whole
    if not len(places):
        return _Count(parent.bits, sign, offset)
    plain_first = sorted(places.tolist(), key=lambda n: sign * int(signs[n]) < 0)
    added = [_literal(x, n, sign * int(signs[n])) for n in plain_first]
    higher = logic.add(parent.bits[1:], added, width - 1) if width > 1 else ()
    return _Count((parent.bits[0], *higher), sign, offset)


def _matches(logic: BitSums, x: tuple[str, ...], signs: Signs, places: Integers, width: int) -> tuple[str, ...]:
    return logic.add((), [_literal(x, n, int(signs[n])) for n in places.tolist()], width)


def _literal(x: tuple[str, ...], place: int, sign: int) -> str:
    return x[place] if sign > 0 else f"(~{x[place]})"


def _output(logic: BitSums, channel: int, count: _Count, out: int, width: int, low: int) -> str:
    """The sum `count + low` of `out` bits, in one adder where these are no more than the count's."""
    held, total = f"v{channel}", f"a{channel}"
    logic.lines.append(f"wire [{width - 1}:0] {held} = {{{', '.join(reversed(count.bits))}}};")
    if out > width:
        whole = _shifted(held, count, width, 0)
        logic.lines.append(f"wire [{width - 1}:0] p{channel} = {whole};")
        logic.lines.append(f"wire [{out - 1}:0] {total} = p{channel} + {literal(low, out)};")
    else:
        logic.lines.append(f"wire [{out - 1}:0] {total} = {_shifted(f'{held}[{out - 1}:0]', count, out, low)};")
    return total


def _shifted(bits: str, count: _Count, width: int, low: int) -> str:
    """An expression for `count + low` modulo 2**width."""
    constant = literal(low - count.sign * count.offset, width)
    return f"{bits} + {constant}" if count.sign > 0 else f"{constant} - {bits}"
