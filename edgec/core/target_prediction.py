"""The coefficients of the latency model in a datasheet: `edgec/measure/prediction.py` says what they mean."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rate(_Section):
    """Time of a unit of work.

    Attributes:
        value: in the unit that the rate's name says.
        error: standard deviation of its natural logarithm.
    """

    value: float = Field(gt=0, allow_inf_nan=False)
    error: float = Field(ge=0, allow_inf_nan=False)


class LatencyRates(_Section):
    """Rates with a number of threads, in microseconds; the classes of work are those of `prediction_work.Cost`.

    Attributes:
        threads: threads that kernels were split over.
    """

    threads: int = Field(ge=1)
    dense_us_per_mmac: Rate
    dense_3x3_us_per_mmac: Rate
    pointwise_us_per_mmac: Rate
    depthwise_us_per_mmac: Rate
    integer_us_per_mmac: Rate
    integer_3x3_us_per_mmac: Rate
    integer_depthwise_us_per_mmac: Rate
    shallow_us_per_mmac: Rate
    streamed_us_per_mb: Rate
    traffic_us_per_mb: Rate
    far_us_per_mb: Rate
    moved_us_per_mb: Rate
    transcendental_us_per_million: Rate
    kernel_us: Rate
    light_kernel_us: Rate


class Prediction(_Section):
    """Latency model of a device.

    Attributes:
        basis: what the rates rest on.
        source: whose latencies they were fitted to, and by which script.
        arithmetic: element type that the measured engine computed fp32 networks in.
        unseen_error: mean absolute percentage error, as a fraction, for networks that the fit had not seen.
        residual: standard deviation of the logarithm of latency that is left when the rates are known.
        interval: standard deviations to either side that held 90 % of the latencies of unseen networks.
        rates: by number of threads, ascending.
    """

    basis: Literal["published-measurement", "measured-here"]
    source: str = Field(min_length=3)
    arithmetic: Literal["float32", "float16"] = "float32"
    unseen_error: float = Field(ge=0)
    residual: float = Field(gt=0)
    interval: float = Field(gt=0)
    rates: tuple[LatencyRates, ...] = Field(min_length=1)
