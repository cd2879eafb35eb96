"""A number of the report: labelled with how it was had, or unavailable with the reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Mode(StrEnum):
    """How a value was had."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    PREDICTED = "predicted"


class Value(BaseModel):
    """A value with its error band.

    Attributes:
        value: in the unit that the metric's name says.
        low: lower end of the band; equal to `value` for an exact count.
        high: upper end of the band.
        mode: measured, simulated or predicted.
        source: meter, model or file that it comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    mode: Mode
    source: str

    @model_validator(mode="after")
    def _band_holds_value(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"the band [{self.low}, {self.high}] does not hold the value {self.value}")
        return self


class Unavailable(BaseModel):
    """A metric that could not be had, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unavailable: str


Metric = Value | Unavailable


def exact(value: float, mode: Mode, source: str) -> Value:
    """A counted value: its band is the value itself."""
    return Value(value=value, low=value, high=value, mode=mode, source=source)
