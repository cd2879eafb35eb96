"""Whether a layer is faster in integers than in fp32 on a target."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from edgec.core.target import Target
from edgec.passes.quantize_layers import Layer

_INSTRUCTIONS_WITHOUT_DOT_PRODUCT = 2.4
"""Instructions of an integer SqueezeNet over those of the fp32 one on a Cortex-A72, counted under emulation.

Eight-bit products must be widened to sums of 32 bits, two instructions for what one multiply-add does in fp32.
"""


def slower_layers(layers: Sequence[Layer], target: Target | None) -> dict[str, str]:
    """The layers that integers would slow down on a target, by name, with the reason.

    Cores with vectors but without an instruction that sums products of small integers take longer for integers.
    Cores without vectors spend one multiplication on a product either way, and read a quarter of the bytes. Without a
    target, and for hardware that is made for the network, no layer is slower.
    """
    if target is None or target.backend != "tvm":
        return {}
    core = target.core
    if core.dot_product != "none" or core.vector_bits.value <= 32 or _multiplies_pairs(target):
        return {}
    reason = (
        f"{target.name} has no dot product of eight-bit integers: integers take about "
        f"{_INSTRUCTIONS_WITHOUT_DOT_PRODUCT:g} times the instructions of fp32"
    )
    return {layer.name: reason for layer in layers}


def _multiplies_pairs(target: Target) -> bool:
    """Whether the core multiplies int16 and sums pairs, as every x86 does."""
    triple = target.compiler.triple
    return (platform.machine() if triple == "native" else triple).lower().startswith(("x86_64", "amd64"))
