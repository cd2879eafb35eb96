"""How close a model's outputs are to a reference's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Fidelity(BaseModel):
    """The distance between two sets of outputs on the same inputs.

    Attributes:
        samples: number of input sets compared.
        bit_exact: every element equal, bit for bit (NaN equals NaN).
        max_abs_error: largest absolute difference over all outputs.
        max_relative_error: largest absolute difference over the range (max − min) of the reference output.
        snr_db: signal to noise ratio in dB; None where there is no noise at all.
        agreement: share of samples whose arg-max over the last axis is equal; 1.0 where that axis has one element.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int
    bit_exact: bool
    max_abs_error: float
    max_relative_error: float
    snr_db: float | None
    agreement: float
