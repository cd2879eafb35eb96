"""Products of a vector with a constant matrix as few adders, by da4ml's optimiser.

Source: Sun et al., "da4ml: Distributed Arithmetic for Real-time Neural Networks on FPGAs" (2025): common
subexpressions of the canonical signed digits of a matrix are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgec.backends.rtl.bit_sums import chain_tables
from edgec.backends.rtl.integer_graph import Integers, Interval
from edgec.backends.rtl.registers import register_lines

_ADDITIONS = (0, 1)
"""da4ml's operation codes of `a + b * 2**shift` and of a difference."""


@dataclass(frozen=True)
class Port:
    """One element at the output of a product: `value = bits * 2**shift + below`.

    Attributes:
        width: bits; 0 for an element that always is 0.
        signed: whether the bits are two's complement.
        shift: bits of `below`.
        below: a constant.
    """

    width: int
    signed: bool
    shift: int
    below: int = 0


@dataclass(frozen=True)
class ProductModule:
    """A pipelined Verilog module with ports `clk`, `model_inp` and `model_out`.

    Attributes:
        name: of the module.
        sources: Verilog text by module name.
        outputs: elements of `model_out`, lowest bits first.
        latency: clock cycles from input to output; a new input every cycle.
        adders: estimate of the adder bits.
        tables: estimate of the look-up tables, with those of carry chains.
        of_signs: whether it reads one bit an element, 1 for +1 and 0 for −1.
    """

    name: str
    sources: Mapping[str, str]
    outputs: tuple[Port, ...]
    latency: int
    adders: float
    tables: int
    of_signs: bool = False


def product_module(
    name: str, weights: Integers, bias: Integers, inputs: Interval, delay: int, *, triple: bool = False
) -> ProductModule:
    """The Verilog of `bias + x @ weights`.

    Args:
        name: of the module.
        weights: int64 [K, M].
        bias: int64 [M].
        inputs: bounds of the elements [K]; none is a single value.
        delay: adders that a signal may pass in one clock cycle.
        triple: three copies of each register, and votes.
    """
    from da4ml.codegen.rtl.verilog import comb_logic_gen
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace, to_pipeline
    from da4ml.types import minimal_kif

    low, high = inputs.low.astype(np.float64), inputs.high.astype(np.float64)
    x = FixedVariableArray.from_lhs(low, high, np.ones_like(low), HWConfig(1, -1, -1))
    combinational = comb_trace(x, x @ weights.astype(np.float64) + bias.astype(np.float64), keep_dead_inputs=True)
    stages = to_pipeline(combinational, delay, verbose=False).solutions
    names = [f"{name}_stage{number}" for number in range(len(stages))]
    sources = {stage: comb_logic_gen(logic, stage) for stage, logic in zip(names, stages, strict=True)}
    formats = [minimal_kif(interval) for interval in combinational.out_qint]
    outputs = tuple(Port(int(k) + int(i) + int(f), bool(k), -int(f)) for k, i, f in formats)
    widths = [sum(sum(minimal_kif(interval)) for interval in logic.inp_qint) for logic in stages]
    widths.append(sum(port.width for port in outputs))
    sources[name] = _pipeline(name, names, widths, triple=triple)
    sums = [sum(minimal_kif(operation.qint)) for operation in combinational.ops if operation.opcode in _ADDITIONS]
    tables = sum(chain_tables(int(bits)) for bits in sums)
    return ProductModule(name, sources, outputs, len(stages), float(combinational.cost), tables)


def supporting_modules() -> Mapping[str, str]:
    """Verilog of the modules that products are made of, by name; da4ml's own sources."""
    from importlib import resources

    folder = resources.files("da4ml") / "codegen" / "rtl" / "verilog" / "source"
    return {name: (folder / f"{name}.v").read_text(encoding="utf-8") for name in ("shift_adder", "negative")}


def _pipeline(name: str, stages: list[str], widths: list[int], *, triple: bool) -> str:
    """Stages with a register behind each."""
    lines = [
        f"module {name} (",
        "    input clk,",
        f"    input [{widths[0] - 1}:0] model_inp,",
        f"    output [{widths[-1] - 1}:0] model_out",
        ");",
    ]
    for number, stage in enumerate(stages):
        source = "model_inp" if number == 0 else f"held{number - 1}"
        top = widths[number + 1] - 1
        lines += [
            f"    wire [{top}:0] next{number};",
            f"    {stage} stage{number} (.model_inp({source}), .model_out(next{number}));",
        ]
        registers = register_lines(f"held{number}", top + 1, f"next{number}", triple=triple)
        lines += [f"    {line}" for line in registers]
    return "\n".join([*lines, f"    assign model_out = held{len(stages) - 1};", "endmodule", ""])
