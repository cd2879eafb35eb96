"""Estimates of a circuit that no vendor's tool has made yet: orders of magnitude, with their band.

*Look-up tables.* An unrolled product by a constant is a sum of shifted inputs, one for each nonzero digit of the
constant's canonical signed form; these and the sums of products are adders of one look-up table a bit (Xilinx UG474,
carry chains), as wide as the input. Where multipliers are shared, each takes input bits times weight bits.

*Cycles.* `_LEVELS_PER_CYCLE` adders follow each other in a cycle; a layer's products, its sum and its result take
one or more cycles each. Convolutions compute one place after the other, each `reuse_factor` times.

The band is an assumption: a factor of 3 for resources, of 2 for cycles. One published point: Coelho et al., "Automatic
heterogeneous quantization of deep neural networks for low-latency inference on the edge for particle detectors" (2021),
give about 40 thousand look-up tables and 11 cycles for the jet tagger with 6 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgec.backends.hls4ml.work import LayerWork
from edgec.core.metric import Mode, Value
from edgec.core.target_hls import Hls

BAND = 3.0
_LATENCY_BAND = 2.0
_LEVELS_PER_CYCLE = 3
_DSP_BITS = 10
"""Multipliers narrower than this are made of look-up tables (Vivado HLS' default)."""
_BLOCK_KBIT = 18.0
_SOURCE = "edgec's formula, edgec/measure/hls_estimate.py"


@dataclass(frozen=True)
class Estimate:
    """Resources and timing of the whole circuit."""

    luts: float
    flip_flops: float
    dsps: float
    block_ram_kbit: float
    cycles: int
    initiation_interval: int


def estimate(layers: tuple[LayerWork, ...], hls: Hls) -> Estimate:
    """Add up the layers."""
    rows = [_layer(layer, hls) for layer in layers]
    return Estimate(
        luts=sum(row.luts for row in rows),
        flip_flops=sum(row.flip_flops for row in rows),
        dsps=sum(row.dsps for row in rows),
        block_ram_kbit=sum(row.block_ram_kbit for row in rows),
        cycles=sum(row.cycles for row in rows),
        initiation_interval=max((row.initiation_interval for row in rows), default=1),
    )


def banded(value: float, factor: float = BAND) -> Value:
    """A predicted value with its band."""
    return Value(value=value, low=value / factor, high=value * factor, mode=Mode.PREDICTED, source=_SOURCE)


def banded_cycles(value: float) -> Value:
    """A predicted count of cycles with its band."""
    return banded(value, _LATENCY_BAND)


def _layer(layer: LayerWork, hls: Hls) -> Estimate:
    """One layer; registers hold the result of each stage of the pipeline."""
    stages = 1 + math.ceil(math.log2(max(2, layer.terms)) / _LEVELS_PER_CYCLE) if layer.products else 1
    reuse = hls.reuse_factor if layer.products else 1
    interval = reuse * layer.places
    registers = layer.results * layer.result_bits * (stages if layer.products else 1)
    if not layer.products:
        return Estimate(layer.results * layer.result_bits, registers, 0.0, 0.0, 1, 1)
    shared = hls.strategy == "resource" or reuse > 1
    multipliers = math.ceil(layer.products / reuse)
    hard = layer.weight_bits >= _DSP_BITS and layer.input_bits >= _DSP_BITS
    if not shared:
        luts = 0.0 if hard else float(layer.digits * layer.input_bits)
        memory = 0.0
    else:
        adders = multipliers * (layer.input_bits + layer.weight_bits)
        luts = adders + (0.0 if hard else float(multipliers * layer.input_bits * layer.weight_bits))
        kbit = layer.products * layer.weight_bits / 1024
        memory = math.ceil(kbit / _BLOCK_KBIT) * _BLOCK_KBIT if hls.strategy == "resource" else 0.0
    return Estimate(luts, registers, float(multipliers if hard else 0), memory, stages + interval, interval)
