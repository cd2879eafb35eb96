"""Energy of each layer on a device, predicted from the power states of its datasheet.

The board draws its idle power all the time, and the rest of its busy power in proportion to the cores at work. What is
drawn beyond idle is divided among the layers by the energies of their operations (`energy_operations.py`), so that a
layer of many multiply-accumulates takes more than one that waits for its calls; in total it is power times time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.core.target import Basis
from edgec.measure.energy_operations import operation_energy_pj

if TYPE_CHECKING:
    from edgec.backends.plan import PlannedLayer
    from edgec.core.target import Power, Target

_POWER_VARIES_BY = math.log(1.25)
_ASSUMED_POWER_VARIES_BY = math.log(2.0)
"""Half the width, as a logarithm, of the interval of a board's power: where it was published, and where assumed."""


def layer_energies(
    layers: Sequence[PlannedLayer], milliseconds: Sequence[float], factor: float, target: Target, *, threads: int
) -> tuple[Metric, ...]:
    """Millijoules of each layer.

    Args:
        layers: kernel calls of the artefact.
        milliseconds: predicted latency of each.
        factor: the latency's interval is from value / factor to value x factor.
        target: the device.
        threads: threads that the kernels are split over; a graphics processor is busy as a whole.
    """
    power = target.power
    if power is None:
        reason = Unavailable(unavailable=f"the datasheet of {target.name} states no power")
        return tuple(reason for _ in layers)
    graphics = target.gpu is not None
    used = 1.0 if graphics else min(1.0, threads / target.core.cores.value)
    busy = "the graphics processor" if graphics else f"{threads} threads"
    extra_w = max(0.0, power.busy_w.value - power.idle_w.value) * used
    extra_mj = extra_w * math.fsum(milliseconds)
    operations = [operation_energy_pj(layer.macs, layer.bytes, layer.precision) for layer in layers]
    whole = math.fsum(operations) or 1.0
    width = math.exp(math.hypot(math.log(factor), _variation(power)))
    source = f"{power.idle_w.value:g} W idle and {extra_w:g} W beyond it for {busy}, times predicted latency"
    values = [
        power.idle_w.value * time + extra_mj * operation / whole
        for time, operation in zip(milliseconds, operations, strict=True)
    ]
    return tuple(
        Value(value=value, low=value / width, high=value * width, mode=Mode.PREDICTED, source=source)
        for value in values
    )


def _variation(power: Power) -> float:
    assumed = Basis.ASSUMED in (power.idle_w.basis, power.busy_w.basis)
    return _ASSUMED_POWER_VARIES_BY if assumed else _POWER_VARIES_BY
