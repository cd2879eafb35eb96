"""Energies of the cells of an FPGA, from the tables in `hw/cells/`."""

from __future__ import annotations

import tomllib
from importlib import resources

from pydantic import BaseModel, ConfigDict

from edgec.core.target import Quantity


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Energy(_Row):
    lut_toggle_fj: Quantity
    flip_flop_clock_fj: Quantity
    band: Quantity


class _Table(_Row):
    name: str
    energy: _Energy


class FpgaEnergies(_Row):
    """Femtojoules.

    Attributes:
        lut_toggle_fj: a change of a net behind a look-up table or register.
        flip_flop_clock_fj: a register for each clock cycle.
        band: factor by which the sum may be wrong either way.
    """

    lut_toggle_fj: float
    flip_flop_clock_fj: float
    band: float


def fpga_energies(name: str) -> FpgaEnergies:
    """The energies of a table."""
    text = (resources.files("edgec.hw") / "cells" / f"{name}.toml").read_text(encoding="utf-8")
    energy = _Table.model_validate(tomllib.loads(text)).energy
    return FpgaEnergies(
        lut_toggle_fj=energy.lut_toggle_fj.value,
        flip_flop_clock_fj=energy.flip_flop_clock_fj.value,
        band=energy.band.value,
    )
