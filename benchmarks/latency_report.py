"""Errors of predicted latencies, and the page that states them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from latency_data import Table, families, integer_networks
from latency_model import Matrix, Observations
from numpy.typing import NDArray

COVERAGE = 0.9
BARS = (0.12, 0.2)


@dataclass(frozen=True)
class Errors:
    """Predictions of what a fit has not seen beside what was published, set-ups by networks.

    Attributes:
        table: where the latencies come from.
        seen: 1 where there is one.
        error: absolute error as a share of the published latency.
        misses: absolute error of the logarithm in expected standard deviations.
        spread: the expected standard deviation.
        given_interval: the interval to judge by, in standard deviations; None to set it by the latencies here.
    """

    table: Table
    seen: Matrix
    error: Matrix
    misses: Matrix
    spread: Matrix
    given_interval: float | None = None

    @classmethod
    def of(cls, table: Table, observed: Observations, predicted: Matrix, spread: Matrix) -> Errors:
        """From logarithms of latency."""
        gap = (predicted - observed.latency) * observed.seen
        return cls(table, observed.seen, np.abs(np.expm1(gap)) * observed.seen, np.abs(gap) / spread, spread)

    def share(self, rows: list[int], columns: NDArray[np.bool_] | None = None) -> float:
        """Mean error of some set-ups."""
        chosen = np.ones(len(self.table.networks), bool) if columns is None else columns
        return float(self.error[rows][:, chosen].sum() / self.seen[rows][:, chosen].sum())

    def interval(self, without: NDArray[np.bool_] | None = None) -> float:
        """Standard deviations that hold 90 % of the latencies, those of some networks left out."""
        if self.given_interval is not None:
            return self.given_interval
        kept = self.seen > 0
        if without is not None:
            kept = kept & ~without
        return float(np.quantile(self.misses[kept], COVERAGE))

    def covered(self, columns: NDArray[np.bool_]) -> Matrix:
        """Whether each latency lies in the interval that the networks outside its family set; 1, 0 or not a number."""
        inside = np.full_like(self.misses, np.nan)
        for family in families(self.table.networks):
            inside[:, family] = self.misses[:, family] <= self.interval(family)
        inside[self.seen == 0] = np.nan
        return inside[:, columns]

    def devices(self, columns: NDArray[np.bool_]) -> dict[str, float]:
        """Mean error of each device, its set-ups together."""
        found = {}
        for name in sorted({setup.name for setup in self.table.setups}):
            rows = [at for at, setup in enumerate(self.table.setups) if setup.name == name]
            if self.seen[rows][:, columns].any():
                found[name] = self.share(rows, columns)
        return found


def page(parts: dict[str, Errors]) -> str:
    """The page in Markdown."""
    head = "# Errors of predicted latency\n\nWritten by `benchmarks/fit_latency.py`, which says how they are found.\n"
    return "\n".join([head, *(_part(title, errors) for title, errors in parts.items())])


def _part(title: str, errors: Errors) -> str:
    integer = integer_networks(errors.table.networks)
    lines = [
        f"## {title.capitalize()}",
        "",
        "| networks | devices | latencies | median | mean | within 12 % | within 20 % | in the 90 % interval |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, columns in (("fp32", ~integer), ("int8", integer), ("all", integer | True)):
        if errors.seen[:, columns].any():
            lines.append(_summary(name, errors, columns))
    lines += ["", "| network | median error | in the 90 % interval |", "|---|---|---|"]
    for at, network in enumerate(errors.table.networks):
        column = np.arange(len(errors.table.networks)) == at
        if errors.seen[:, at].any():
            median = np.median(errors.error[errors.seen[:, at] > 0, at])
            lines.append(f"| {network} | {median:.1%} | {np.nanmean(errors.covered(column)):.0%} |")
    lines += ["", "| device | fp32 networks | all networks |", "|---|---|---|"]
    fp32, every = errors.devices(~integer), errors.devices(integer | True)
    lines += [
        f"| {name.replace('|', '/')} | {fp32.get(name, float('nan')):.1%} | {every[name]:.1%} |" for name in every
    ]
    return "\n".join([*lines, ""])


def _summary(name: str, errors: Errors, columns: NDArray[np.bool_]) -> str:
    values = np.array(list(errors.devices(columns).values()))
    within = " | ".join(f"{np.mean(values <= bar):.0%}" for bar in BARS)
    latencies = int(errors.seen[:, columns].sum())
    covered = np.nanmean(errors.covered(columns))
    middle = f"{np.median(values):.1%} | {values.mean():.1%}"
    return f"| {name} | {len(values)} | {latencies} | {middle} | {within} | {covered:.1%} |"
