"""Whether a layer is faster in integers than in fp32 on a target."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.core.target import Target
from edgec.passes.quantize_layers import Layer


def slower_layers(layers: Sequence[Layer], target: Target | None) -> dict[str, str]:
    """The layers that integers would slow down on a target, by name, with the reason."""
    return {}
