"""A number of a datasheet, with where it comes from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Basis(StrEnum):
    """What a number of a datasheet rests on."""

    DATASHEET = "datasheet"
    PUBLISHED = "published-measurement"
    MEASURED = "measured-here"
    ASSUMED = "assumed"


class Quantity(BaseModel):
    """A number with its origin; the unit stands in the name of the field that holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0, allow_inf_nan=False)
    basis: Basis
    source: str = Field(min_length=3)
