"""Which layers lose accuracy: the table that the pass `quantize` leaves in its statistics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgec.report import formatting
from edgec.report.schema import Report

_STATISTIC = re.compile(r"signal to noise with (?P<layer>.+) alone")
_DECIBELS = re.compile(r"(?P<number>-?[0-9.]+|inf) dB")


@dataclass(frozen=True)
class LayerLoss:
    """A layer, and the signal to noise ratio of the outputs in decibels if only this layer is quantized."""

    pass_name: str
    layer: str
    decibels: float

    @property
    def text(self) -> str:
        """The ratio; `no loss` where nothing changes."""
        return "no loss" if self.decibels == float("inf") else f"{self.decibels:.1f} dB".replace("-", "−")


def is_sensitivity(statistic: str) -> bool:
    """Whether a statistic of a pass is a row of the table."""
    return _STATISTIC.fullmatch(statistic) is not None


def layer_losses(report: Report) -> tuple[LayerLoss, ...]:
    """Every row of the table, the layer that loses most first; empty if no pass left one."""
    found = []
    for record in report.passes:
        for name, value in record.stats.items():
            layer, ratio = _STATISTIC.fullmatch(name), _DECIBELS.fullmatch(str(value))
            if layer and ratio:
                shown = formatting.printable(layer["layer"])
                found.append(LayerLoss(formatting.printable(record.name), shown, float(ratio["number"])))
    return tuple(sorted(found, key=lambda row: row.decibels))
